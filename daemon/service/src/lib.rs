//! What every service of the appliance needs: a log, and a word with systemd.

pub mod logging;
pub mod notify;

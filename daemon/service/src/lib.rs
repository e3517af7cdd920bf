//! What every service of the appliance needs: a log, a word with systemd, and an ear for its signals.

pub mod logging;
pub mod notify;
pub mod signals;
pub mod sockets;

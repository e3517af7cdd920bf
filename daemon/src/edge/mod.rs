//! One effect a file. Nothing here decides; what a value means is core's business.

pub mod appliance;
pub mod bind;
pub mod camera;
pub mod credentials;
pub mod custody;
pub mod dbus;
pub mod files;
pub mod https;
pub mod ingest;
pub mod ingest_list;
pub mod network;
pub mod pins;
pub mod robot;
pub mod signalling;
pub mod tcp;
pub mod tls;
pub mod transcode;

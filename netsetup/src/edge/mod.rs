//! Effects, one a file.

pub mod arp;
pub mod country;
pub mod dbus;
pub mod dhcp_inform;
pub mod fault;
pub mod firewall;
pub mod internet;
pub mod machine;
pub mod manager;
pub mod netlink;

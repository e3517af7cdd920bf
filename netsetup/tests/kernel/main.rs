//! The edge against a real kernel, in network namespaces of its own. Runs as root, with iproute2, nftables and setpriv.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is surprised has failed"
)]

mod firewall;
mod links;
mod order;
mod privileges;
mod routing;
mod watching;
mod world;

//! The messages of `daemon/proto`, with servers.

#![allow(
    dead_code,
    reason = "a message that is read and never made; rustc counts no expectation for it"
)]
#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    reason = "generated code"
)]

pub(crate) mod api {
    tonic::include_proto!("bosdyn.api");

    pub(crate) mod spot_cam {
        tonic::include_proto!("bosdyn.api.spot_cam");
    }
}

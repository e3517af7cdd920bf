//! The robot's messages and the clients of the services we call, as `build.rs` makes them from `proto/`.
#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::enum_variant_names,
    reason = "generated"
)]

/// Package `bosdyn`.
pub mod bosdyn {
    /// Package `bosdyn.api`.
    pub mod api {
        tonic::include_proto!("bosdyn.api");

        /// Package `bosdyn.api.spot_cam`.
        pub mod spot_cam {
            tonic::include_proto!("bosdyn.api.spot_cam");
        }
    }
}

pub use bosdyn::api::*;

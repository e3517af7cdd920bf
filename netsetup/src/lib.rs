//! Split routing that sets itself up: Ethernet to the robot, WiFi to the internet.
//!
//! `netsetup-core` decides, `edge` acts, one effect a file. [`view`] is what other programs see of it all.

pub mod config;
pub mod control;
pub mod edge;
pub mod properties;
pub mod run;
pub mod view;

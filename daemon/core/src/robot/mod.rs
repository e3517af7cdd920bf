//! What we want of the robot: a login that lasts, its services by type, and its camera's settings on loan.

pub mod custody;
pub mod directory;
pub mod login;
pub mod screens;
pub mod stream_parameters;

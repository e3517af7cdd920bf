//! The settings file as a person edits it on a PC, and what becomes of it.
//!
//! [`text`] reads what editors write, [`document`] finds in it what matters here, [`plan`] decides, and [`apply`] does it
//! step by step so that a power cut at any of them loses nothing.

pub mod apply;
pub mod check;
mod comments;
pub mod document;
pub mod outcome;
pub mod plan;
mod reserved;
pub mod text;

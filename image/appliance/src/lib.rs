//! What the image needs around the two programs: settings from the card, report, console, LED, doctor, health.
#![forbid(unsafe_code)]

pub mod bootstate;
pub mod bus;
pub mod card;
pub mod console;
pub mod doctor;
pub mod facts;
pub mod grow;
pub mod healthy;
pub mod import;
pub mod led;
pub mod pace;
pub mod place;
pub mod report;
pub mod settings;
pub mod slots;
pub mod storage;
pub mod tool;
pub mod watch;

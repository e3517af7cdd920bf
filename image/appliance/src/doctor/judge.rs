//! Judges the evidence. Nothing here looks at anything by itself.

mod board;
mod card;
mod network;
mod system;

use super::Check;
use super::evidence::Evidence;

/// Every check, in the order in which a person would look.
pub fn judge(evidence: &Evidence) -> Vec<Check> {
    [
        system::settings(evidence),
        board::power(evidence),
        board::temperature(evidence),
        board::usb(evidence),
        card::card(evidence),
        card::data(evidence),
        system::memory(evidence),
        system::time(evidence),
        network::interfaces(evidence),
        network::routes(evidence),
        network::robot(evidence),
        network::internet(evidence),
        network::ingest(evidence),
        system::slots(evidence),
        system::last_start(evidence),
        board::boot_loader(evidence),
        board::firmware(evidence),
        board::model(evidence),
    ]
    .to_vec()
}

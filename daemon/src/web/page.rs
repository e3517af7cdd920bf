//! The page: one, plain, for a phone in sunlight, and of use without JavaScript. What stands in an element with
//! `data-live` is replaced by the script when it has changed; forms that a person fills in never are.

use maud::{DOCTYPE, Markup, html};
use netsetup::view::Status as Network;

use super::door::Notice;
use super::figures;
use super::forms;
use super::view::{Certificate, View};
use crate::edge::appliance::{Findings, Known};

/// Who looks at the page.
#[derive(Clone, Debug)]
pub(super) enum Reader {
    /// Somebody: there is no password that would make them an operator.
    Guest,
    /// Somebody who may give the password; with what came of the last try.
    Stranger(Option<String>),
    /// Who knows the password; with the screens that the camera has, or why they are not known.
    Operator(Result<Vec<String>, String>),
}

impl Reader {
    pub(super) const fn may_steer(&self) -> bool {
        matches!(self, Self::Operator(_))
    }
}

/// The whole page.
pub(super) fn page(view: &View, reader: &Reader, notice: Option<&Notice>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words(view.state)) " - spotstream" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                script src="/page.js" defer {}
            }
            body {
                header { h1 { "spotstream" } a href="/" { "Reload" } }
                main {
                    p #lost .notice.bad role="alert" hidden { "No answer from spotstream. What you see is old." }
                    @if let Some(notice) = notice { (told(notice)) }
                    div aria-live="polite" { (state(view, reader)) }
                    (certificates(view, reader))
                    (way_in(view, reader))
                    (stream(view))
                    (camera(view))
                    @if let Reader::Operator(screens) = reader { (forms::settings(view, screens)) }
                    (network(view))
                    (computer(view, reader))
                    (doctor(view, reader))
                    @if reader.may_steer() {
                        form method="post" action="/logout" { button .quiet { "Log out" } }
                    }
                }
            }
        }
    }
}

fn told(notice: &Notice) -> Markup {
    html! {
        p .notice .(if notice.is_done { "good" } else { "bad" }) role="status" { (notice.sentence) }
    }
}

/// State, reason, and what can be done about it.
fn state(view: &View, reader: &Reader) -> Markup {
    html! {
        section #state .state data-live data-state=(view.state) {
            h2 { (words(view.state)) }
            p { (sentence(&view.reason)) }
            @if view.state == "WaitingForAuthorization" { (authorization(view)) }
            @if reader.may_steer() {
                div .buttons {
                    @if matches!(view.state, "Idle" | "Fault") {
                        (button("/start", if view.state == "Idle" { "Start" } else { "Try again" }))
                    }
                    @if view.state != "Idle" { (button("/stop", "Stop")) }
                }
            }
        }
    }
}

fn authorization(view: &View) -> Markup {
    let robot = view.network.as_ref().and_then(|network| network.robot.address);
    html! {
        p {
            "From a computer in the robot's network: "
            @match robot { Some(address) => b { "https://" (address) }, None => "the robot's web page" }
            ", Payloads, the entry with the number below, Authorize."
        }
        @if let Some(guid) = &view.payload_guid { p .number { (guid) } }
    }
}

fn button(action: &str, word: &str) -> Markup {
    html! { form method="post" action=(action) { button { (word) } } }
}

/// Certificates that are not the ones we trust: both fingerprints, then the question.
fn certificates(view: &View, reader: &Reader) -> Markup {
    let changed = |peer: &str| -> Vec<&Certificate> {
        let is_changed = |it: &&Certificate| it.peer == peer && it.shown.is_some();
        view.certificates.iter().filter(is_changed).collect()
    };
    html! {
        div #certificates data-live {
            @for peer in ["robot", "camera"] {
                @let changed = changed(peer);
                @if !changed.is_empty() {
                    section .card.warn {
                        h2 { "The " (peer) " has another certificate" }
                        p {
                            "After a repair or a swap that is right. If nobody has touched the robot, somebody may be \
                             posing as it: ask before you accept."
                        }
                        @for it in &changed {
                            dl {
                                dt { "Trusted" } dd .number { (it.trusted.as_deref().unwrap_or("none")) }
                                dt { "Shown now" } dd .number { (it.shown.as_deref().unwrap_or("none")) }
                            }
                        }
                        @if reader.may_steer() { (forms::accept(peer, &changed)) }
                    }
                }
            }
        }
    }
}

/// How to become an operator.
fn way_in(view: &View, reader: &Reader) -> Markup {
    html! {
        @match reader {
            Reader::Operator(_) => {}
            Reader::Guest if view.reason_kind == "settings" => p .hint {
                "Nothing can be set from here until the settings file is right."
            }
            Reader::Guest => p .hint {
                "To start, stop and set it from here, write a password into the settings file: "
                code { "[status]" } " and below it " code { "password = \"...\"" } ", 8 characters at least."
            }
            Reader::Stranger(answer) => details .card open[answer.is_some()] {
                summary { "Log in to start, stop and set it" }
                form method="post" action="/login" {
                    label for="password" { "Password of the status page" }
                    input #password type="password" name="password" autocomplete="current-password" required;
                    button { "Log in" }
                }
                @if let Some(answer) = answer { p .notice.bad role="alert" { (answer) } }
            }
        }
    }
}

fn stream(view: &View) -> Markup {
    html! {
        section #stream .card data-live {
            h2 { "Stream" }
            (list(&figures::stream(view)))
        }
    }
}

fn camera(view: &View) -> Markup {
    html! {
        section #camera .card data-live {
            h2 { "Camera" }
            @let rows = figures::camera(view);
            @if rows.is_empty() { p .hint { "The camera has not been asked yet." } }
            (list(&rows))
        }
    }
}

fn network(view: &View) -> Markup {
    html! {
        section #network .card data-live {
            h2 { "Networks" }
            @match &view.network {
                None => p .hint { "Nobody here looks after the networks: netsetup does not run." }
                Some(network) => (sides(network))
            }
        }
    }
}

fn sides(network: &Network) -> Markup {
    html! {
        @if let Some(reason) = &network.reason { p .notice.bad { (sentence(&reason.sentence)) } }
        h3 { "Robot" }
        @if let Some(reason) = &network.robot.reason { p .notice.bad { (sentence(&reason.sentence)) } }
        (list(&figures::robot(&network.robot)))
        h3 { "Internet" }
        @if let Some(reason) = &network.uplink.reason { p .notice.bad { (sentence(&reason.sentence)) } }
        (list(&figures::internet(network)))
        @for note in &network.notes { p .hint { (sentence(note)) } }
    }
}

fn computer(view: &View, reader: &Reader) -> Markup {
    html! {
        section #computer .card data-live {
            h2 { "This computer" }
            @match &view.appliance {
                None => p .hint {
                    "It does not run spotstream's image, or the image's own service is not there: no image version, \
                     no doctor and no report."
                }
                Some(known) => (notes(known))
            }
            (list(&figures::computer(view)))
            @if reader.may_steer() && view.appliance.is_some() {
                p { a href="/report.txt" download="spotstream-report.txt" { "Download the report" } }
            }
        }
    }
}

fn notes(known: &Known) -> Markup {
    html! {
        @if !known.last_boot.is_empty() { p .notice.bad { (sentence(&known.last_boot)) } }
        @if !known.import.is_empty() { p { (sentence(&known.import)) } }
        @for note in &known.notes { p .hint { (sentence(note)) } }
    }
}

fn doctor(view: &View, reader: &Reader) -> Markup {
    html! {
        @if reader.may_steer() && (view.doctor.is_some() || view.appliance.is_some()) {
            section #doctor .card data-live {
                h2 { "Doctor" }
                @match &view.doctor {
                    Some(findings) => (checks(findings))
                    None => p .hint { "Looks at card, power, time, networks, robot and server, and says what to do." }
                }
                @if view.appliance.is_some() {
                    form method="post" action="/doctor" {
                        button .quiet { "Run the doctor" }
                        span .hint { " It takes up to a minute." }
                    }
                }
            }
        }
    }
}

fn checks(findings: &Findings) -> Markup {
    html! {
        ul .checks {
            @for check in &findings.checks {
                li data-verdict=(check.verdict.word()) {
                    b { (check.name) ": " (check.verdict.word()) }
                    @if !check.finding.is_empty() { " " (sentence(&check.finding)) }
                    @if !check.advice.is_empty() { p { (sentence(&check.advice)) } }
                }
            }
        }
    }
}

fn list(rows: &[figures::Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            dl {
                @for (name, value) in rows {
                    dt { (name) }
                    dd { (value) }
                }
            }
        }
    }
}

/// `WaitingForRobot` as a person writes it.
pub(super) fn words(state: &str) -> String {
    let mut out = String::new();
    for letter in state.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(' ');
            out.extend(letter.to_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

/// A reason as a sentence of its own: a capital, a full stop.
pub(super) fn sentence(reason: &str) -> String {
    let reason = reason.trim_end();
    let mut letters = reason.chars();
    // The first word may be a name or a path, which stays as it is written.
    let first_word = reason.split_whitespace().next().unwrap_or_default();
    let is_plain = !first_word.is_empty()
        && first_word
            .chars()
            .all(|c| c.is_ascii_lowercase() || matches!(c, '\'' | ',' | ';'));
    let mut out: String = match letters.next() {
        Some(first) if is_plain && !STAY_SMALL.contains(&first_word) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => reason.to_owned(),
    };
    if !out.is_empty() && !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// Names that are written with a small letter everywhere.
const STAY_SMALL: [&str; 3] = ["netsetup", "spotstream", "spotstreamd"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::edge::appliance::{Check, Verdict};

    /// A page on which `text` stands wherever a text from outside can.
    fn page_with(text: &str) -> String {
        let text = || text.to_owned();
        let reason = || Some(netsetup::view::Reason::new("kind", text()));
        let mut network = Network::default();
        network.notes.push(text());
        network.reason = reason();
        network.robot.reason = reason();
        network.robot.interface = Some(text());
        network.robot.mac = Some(text());
        network.uplink.reason = reason();
        network.uplink.interface = Some(text());
        network.uplink.ssid = Some(text());
        let mut status = crate::control::Status::new("WaitingForAuthorization", "kind", text());
        status.statistics.server = Some(text());
        status.screen = Some(text());
        status.payload_guid = Some(text());
        let known = Known {
            version: text(),
            slot: text(),
            last_boot: text(),
            addresses: vec![text()],
            import: text(),
            notes: vec![text()],
        };
        let check = Check {
            name: text(),
            verdict: Verdict::Problem,
            finding: text(),
            advice: text(),
        };
        let findings = Findings { checks: vec![check] };
        let mut view = View::new(&status, Some(network), Some(known), Some(findings));
        view.certificates.push(Certificate {
            peer: "camera".to_owned(),
            host: text(),
            trusted: Some(text()),
            shown: Some(text()),
        });
        let notice = Notice {
            is_done: false,
            sentence: text(),
        };
        let operator = page(&view, &Reader::Operator(Ok(vec![text()])), Some(&notice)).into_string();
        let mistaken = page(&view, &Reader::Operator(Err(text())), None).into_string();
        let stranger = page(&view, &Reader::Stranger(Some(text())), None).into_string();
        operator + &mistaken + &stranger
    }

    #[test]
    fn what_doctor_has_found_is_shown_to_who_may_steer_alone() {
        let check = Check {
            name: "networks".to_owned(),
            verdict: Verdict::Problem,
            finding: "planted".to_owned(),
            advice: String::new(),
        };
        let findings = Findings { checks: vec![check] };
        let status = crate::control::Status::new("Live", "", String::new());
        let view = View::new(&status, None, None, Some(findings));
        let is_shown = |reader: &Reader| {
            page(&view, reader, None)
                .into_string()
                .to_lowercase()
                .contains("planted")
        };
        assert!(is_shown(&Reader::Operator(Ok(Vec::new()))));
        assert!(!is_shown(&Reader::Stranger(None)));
        assert!(!is_shown(&Reader::Guest));
    }

    fn escaped(text: &str) -> String {
        text.chars()
            .map(|letter| match letter {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '>' => "&gt;".to_owned(),
                '"' => "&quot;".to_owned(),
                other => other.to_string(),
            })
            .collect()
    }

    fn hostile() -> impl Strategy<Value = String> {
        let pieces = [
            "<",
            ">",
            "\"",
            "'",
            "&",
            "</p>",
            "<script>",
            "</title>",
            "-->",
            "&lt;",
            "javascript:",
            "\0",
            "\n",
            "é",
            " ",
            "x",
            "{",
            "}",
            "`",
            "=",
            "onload=",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_text_from_outside_is_text_wherever_it_stands(text in hostile()) {
            // What goes around it keeps sentences from being made of it.
            let (plain, text) = ("Q0word0Q.", format!("Q0{text}0Q."));
            prop_assert_eq!(page_with(&text), page_with(plain).replace(plain, &escaped(&text)));
        }
    }

    #[test]
    fn a_state_and_a_reason_read_like_sentences() {
        assert_eq!(words("WaitingForRobot"), "Waiting for robot");
        assert_eq!(words("Live"), "Live");
        assert_eq!(sentence("looking for the robot"), "Looking for the robot.");
        assert_eq!(sentence("stopped; start it"), "Stopped; start it.");
        assert_eq!(sentence("netsetup cannot work"), "netsetup cannot work.");
        assert_eq!(
            sentence("/etc/x:3: stream.key: it is missing"),
            "/etc/x:3: stream.key: it is missing."
        );
        assert_eq!(sentence(""), "");
    }
}

//! The plan, case by case: `tests/plan/NN-name` holds `desired.toml` (the settings of the appliance), `observed.json`
//! (what there is; the firewall "loaded" stands for the ruleset that is wanted there) and `steps.expected` (what is to be
//! done, and what is told). With UPDATE=1 in the environment the last is written anew, to be read in the diff.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised has failed"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use netsetup::config::check_bytes;
use netsetup_core::desired::Desired;
use netsetup_core::observed::Observed;
use netsetup_core::plan::{Plan, Step, plan};
use netsetup_core::status::{Reason, Status};

#[test]
fn each_case_is_planned_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 32, "{} cases are too few", cases.len());
    let wrong: Vec<_> = cases.iter().filter_map(|case| difference(case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(case: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_default();
    let settings = read("desired.toml");
    let desired = desired(case, &settings);
    let observed = observed(case, &desired, &read("observed.json"));
    let planned = plan(&desired, &observed);
    let told = show(&planned);
    assert!(!told.contains("planted"), "{}: a secret was told", case.display());
    assert_eq!(
        planned,
        plan(&desired, &observed),
        "{}: the same look, another plan",
        case.display()
    );
    if std::env::var_os("UPDATE").is_some() {
        fs::write(case.join("steps.expected"), &told).unwrap();
    }
    let expected = read("steps.expected");
    (told != expected).then(|| format!("== {}\n-- expected\n{expected}-- planned\n{told}", case.display()))
}

fn desired(case: &Path, settings: &str) -> Desired {
    let loaded = check_bytes(Path::new("desired.toml"), settings.as_bytes());
    loaded
        .unwrap_or_else(|error| panic!("{}: {error}", case.display()))
        .desired
}

fn observed(case: &Path, desired: &Desired, text: &str) -> Observed {
    let mut observed: Observed =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    if observed.firewall.as_deref() == Some("loaded") {
        observed.firewall = plan(desired, &observed).steps.into_iter().find_map(|step| {
            if let Step::LoadFirewall(text) = step {
                Some(text)
            } else {
                None
            }
        });
    }
    observed
}

fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        writeln!(text, "{step}").unwrap();
    }
    text.push('\n');
    let Status {
        robot,
        uplink,
        internet: _,
        reason,
        notes,
    } = &plan.status;
    let facts = [
        robot.interface.clone(),
        robot.layout.map(|layout| format!("{layout:?}").to_lowercase()),
        robot.address.map(|address| format!("robot {address}")),
        robot.own_address.map(|own| format!("own {own}")),
    ];
    writeln!(
        text,
        "{}",
        side("robot", &facts, robot.ready, robot.reason.as_ref())
    )
    .unwrap();
    let facts = [
        uplink.interface.clone(),
        uplink.ssid.as_ref().map(|ssid| format!("{ssid:?}")),
        uplink.address.map(|own| format!("own {own}")),
        uplink.gateway.map(|gateway| format!("gateway {gateway}")),
    ];
    writeln!(
        text,
        "{}",
        side("uplink", &facts, uplink.ready, uplink.reason.as_ref())
    )
    .unwrap();
    if let Some(reason) = reason {
        writeln!(text, "both: {}: {}", reason.kind, reason.sentence).unwrap();
    }
    for note in notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

fn side(name: &str, facts: &[Option<String>], ready: bool, reason: Option<&Reason>) -> String {
    let facts: Vec<_> = facts.iter().flatten().cloned().collect();
    let facts = if facts.is_empty() {
        "nothing".to_owned()
    } else {
        facts.join(", ")
    };
    let standing = match (ready, reason) {
        (true, None) => "ready".to_owned(),
        (false, None) => "coming up".to_owned(),
        (true, Some(_)) => panic!("{name}: ready, and a reason why not"),
        (false, Some(reason)) => format!("{}: {}", reason.kind, reason.sentence),
    };
    format!("{name} ({facts}): {standing}")
}

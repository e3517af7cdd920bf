//! Answers as text for people or as JSON for programs.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};
use spotstreamd::config::{Problem, Problems};
use spotstreamd::edge::appliance::Findings;
use zbus::{OwnedVariant, Variant};

use crate::check::Checked;
use crate::client::Status;
use crate::failure::Failure;

pub(crate) fn check(checked: Result<Checked, Problems>) -> Result<String, Failure> {
    let checked = checked?;
    let mut text = checked.listing.to_string();
    for warning in &checked.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.push_str("the settings are right\n");
    Ok(text)
}

pub(crate) fn check_as_json(checked: Result<Checked, Problems>) -> Result<String, Failure> {
    let list = |problems: &[Problem]| -> Vec<Value> {
        let one = |p: &Problem| json!({"place": p.place.to_string(), "key": p.key, "kind": p.kind(), "sentence": p.kind.to_string()});
        problems.iter().map(one).collect()
    };
    match checked {
        Ok(loaded) => {
            let settings: Vec<Value> = loaded
                .listing
                .0
                .iter()
                .map(|line| json!({"key": line.key, "value": line.value, "place": line.place.to_string()}))
                .collect();
            Ok(line(
                &json!({"right": true, "problems": [], "warnings": list(&loaded.warnings), "settings": settings}),
            ))
        }
        Err(problems) => Err(Failure::SettingsAsJson(
            json!({"right": false, "problems": list(&problems.0)}).to_string(),
        )),
    }
}

pub(crate) fn status(status: &Status, as_json: bool) -> String {
    if as_json {
        let entries = status
            .iter()
            .map(|(name, value)| (snake_case(name), plain(value)));
        return line(&Value::Object(entries.collect()));
    }
    let word = |name: &str| {
        status
            .get(name)
            .map(|value| text(&plain(value)))
            .filter(|word| !word.is_empty())
    };
    let mut out = String::new();
    for (title, name) in [
        ("state", "State"),
        ("reason", "Reason"),
        ("screen", "Screen"),
        ("payload GUID", "PayloadGuid"),
    ] {
        if let Some(word) = word(name) {
            let _ = writeln!(out, "{title}: {word}");
        }
    }
    for (title, name) in [("camera", "StreamParameters"), ("statistics", "Statistics")] {
        if let Some(Value::Object(figures)) = status.get(name).map(|value| plain(value)) {
            if !figures.is_empty() {
                let _ = writeln!(out, "{title}:");
            }
            for (name, figure) in &figures {
                let _ = writeln!(out, "  {name}: {}", text(figure));
            }
        }
    }
    out
}

pub(crate) fn value(value: Option<&OwnedVariant>, as_json: bool) -> String {
    let value = value.map_or(Value::Null, |value| plain(value));
    if as_json {
        line(&value)
    } else {
        lines(&value, "the camera has not been asked yet")
    }
}

pub(crate) fn dictionary(dictionary: &HashMap<String, OwnedVariant>, as_json: bool) -> String {
    let value = Value::Object(
        dictionary
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
    );
    if as_json {
        line(&value)
    } else {
        lines(&value, "done")
    }
}

pub(crate) fn names(names: &[String], as_json: bool) -> String {
    if as_json {
        line(&json!(names))
    } else {
        names.iter().map(|name| format!("{name}\n")).collect()
    }
}

pub(crate) fn pins(pins: Option<&OwnedVariant>, as_json: bool) -> String {
    let pins = pins.map_or(Value::Null, |pins| plain(pins));
    if as_json {
        return line(&pins);
    }
    let mut out = String::new();
    for pin in pins.as_array().into_iter().flatten() {
        let word = |name: &str| pin.get(name).map(text);
        let [peer, host, trusted] = ["peer", "host", "trusted"].map(|name| word(name).unwrap_or_default());
        let _ = writeln!(out, "{peer} {host} {trusted}");
        if let Some(shown) = word("shown") {
            let _ = writeln!(
                out,
                "  has shown {shown} since; if that is right: spotstreamctl pin accept {peer}"
            );
        }
    }
    if out.is_empty() {
        "no certificate is pinned yet\n".to_owned()
    } else {
        out
    }
}

pub(crate) fn replaced(pins: u32, as_json: bool) -> String {
    if as_json {
        line(&json!({"replaced": pins}))
    } else {
        format!("{pins} pins replaced\n")
    }
}

/// What doctor has found, a line or two for each thing it has looked at.
pub(crate) fn doctor(text: &str, as_json: bool) -> Result<String, Failure> {
    let not_understood = || {
        Failure::Refused(
            "doctor's answer cannot be understood: spotstreamctl and the image are of different versions"
                .to_owned(),
        )
    };
    let findings = Findings::parse(text).ok_or_else(not_understood)?;
    if as_json {
        return Ok(line(&json!(findings)));
    }
    let mut out = String::new();
    for check in &findings.checks {
        let verdict = check.verdict.word();
        let _ = writeln!(out, "{verdict:8}{}: {}", check.name, check.finding);
        if !check.advice.is_empty() {
            let _ = writeln!(out, "        {}", check.advice);
        }
    }
    Ok(out)
}

pub(crate) fn report(text: &str, as_json: bool) -> String {
    if as_json {
        return line(&json!({"report": text}));
    }
    if text.is_empty() || text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    }
}

pub(crate) fn done(as_json: bool) -> String {
    if as_json {
        line(&json!({"done": true}))
    } else {
        "done\n".to_owned()
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn lines(value: &Value, when_empty: &str) -> String {
    let entries = value.as_object().into_iter().flatten();
    let out: String = entries
        .map(|(name, value)| format!("{name}: {}\n", text(value)))
        .collect();
    if out.is_empty() {
        format!("{when_empty}\n")
    } else {
        out
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A D-Bus value as JSON.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the daemon sends no other types, and a newer one may send any"
)]
fn plain(value: &Variant<'_>) -> Value {
    match value {
        Variant::Bool(value) => json!(value),
        Variant::U32(value) => json!(value),
        Variant::U64(value) => json!(value),
        Variant::I32(value) => json!(value),
        Variant::I64(value) => json!(value),
        Variant::F64(value) => json!(value),
        Variant::Str(value) => json!(value.as_str()),
        Variant::Variant(value) => plain(value),
        Variant::Array(array) => array.iter().map(plain).collect(),
        Variant::Dict(dictionary) => {
            let entries = dictionary
                .iter()
                .map(|(name, value)| (text(&plain(name)), plain(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => json!(other.to_string()),
    }
}

//! Forms: how they look, and what their answers mean.

use std::collections::HashMap;

use maud::{Markup, html};
use spotstream_core::robot::stream_parameters::{AwbMode, Frames, StreamParameters};
use spotstream_core::units::Bitrate;

use super::figures::count;
use super::view::{Certificate, View};

/// What the camera takes.
const KBPS: std::ops::RangeInclusive<u64> = 250..=8500;
const FRAMES: std::ops::RangeInclusive<u64> = 1..=600;

/// The fields of a form as a browser sends them.
pub(super) type Fields = HashMap<String, String>;

/// The camera's settings, empty: what holds now may be another thing when the form comes back. The screens only where the camera has named them.
pub(super) fn settings(view: &View, screens: &Result<Vec<String>, String>) -> Markup {
    let now = &view.stream_parameters;
    let kbps = count(now, "target_bitrate_bps").map(|bits| bits / 1000);
    html! {
        section .card {
            h2 { "Set the camera" }
            p .hint {
                "Leave empty what shall stay. It holds until spotstream starts again; for good, write it into the \
                 settings file."
            }
            @match screens {
                Err(why) => p .hint { (why) }
                Ok(screens) => form method="post" action="/screen" .line {
                    label for="screen" { "Screen" }
                    select #screen name="screen" {
                        @for screen in screens {
                            option selected[view.screen.as_ref() == Some(screen)] { (screen) }
                        }
                    }
                    button { "Show" }
                }
            }
            form method="post" action="/camera" .fields {
                (number("kbps", "Bitrate, kb/s (Twitch: 6000 at most)", kbps, &KBPS))
                (number("idr", "Key frame every ... frames", count(now, "idr_interval_frames"), &FRAMES))
                (number("refresh", "Refresh every ... frames", count(now, "refresh_interval_frames"), &FRAMES))
                label for="awb" { "White balance" }
                select #awb name="awb" {
                    option value="" { "as it is" }
                    @for mode in AwbMode::ALL {
                        option value=(mode.name()) { (mode.name().replace('_', " ")) }
                    }
                }
                button { "Set" }
            }
        }
    }
}

fn number(name: &str, label: &str, now: Option<u64>, range: &std::ops::RangeInclusive<u64>) -> Markup {
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type="number" inputmode="numeric" min=(range.start()) max=(range.end())
            placeholder=[now];
    }
}

/// The question whether a changed certificate is right; it says which ones were looked at.
pub(super) fn accept(peer: &str, changed: &[&Certificate]) -> Markup {
    let shown: Vec<&str> = changed.iter().filter_map(|it| it.shown.as_deref()).collect();
    html! {
        form method="post" action="/accept" {
            input type="hidden" name="peer" value=(peer);
            input type="hidden" name="shown" value=(shown.join(" "));
            button { "It is right, trust it" }
        }
    }
}

/// What is to be changed of what holds `now`; what is left empty or as it was stays.
///
/// # Errors
/// A sentence about the field that is wrong.
pub(super) fn change(fields: &Fields, now: &StreamParameters) -> Result<StreamParameters, String> {
    let kbps = whole(fields, "kbps", "the bitrate", &KBPS, "kb/s")?;
    let frames = |name, what| -> Result<Option<Frames>, String> {
        let frames = whole(fields, name, what, &FRAMES, "frames")?;
        Ok(frames.and_then(|frames| i64::try_from(frames).ok()).map(Frames))
    };
    let awb = match text(fields, "awb") {
        None => None,
        Some(word) => Some(
            word.parse::<AwbMode>()
                .map_err(|_| "the white balance must be one of the list".to_owned())?,
        ),
    };
    // The page shows whole kilobits, so a rate in between is left alone too.
    let shown = now.target_bitrate.map(|rate| rate.as_bps() / 1000);
    let change = StreamParameters {
        target_bitrate: kbps.filter(|kbps| Some(*kbps) != shown).map(Bitrate::kbps),
        refresh_interval: frames("refresh", "the refresh")?.filter(|it| Some(*it) != now.refresh_interval),
        idr_interval: frames("idr", "the key frame")?.filter(|it| Some(*it) != now.idr_interval),
        awb: awb.filter(|it| Some(*it) != now.awb),
    };
    if change.is_empty() {
        return Err("it is so already: change a field first".to_owned());
    }
    Ok(change)
}

fn whole(
    fields: &Fields,
    name: &str,
    what: &str,
    range: &std::ops::RangeInclusive<u64>,
    unit: &str,
) -> Result<Option<u64>, String> {
    let Some(text) = text(fields, name) else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number| range.contains(number));
    let wrong = || {
        format!(
            "{what} must be a whole number from {} to {} {unit}",
            range.start(),
            range.end()
        )
    };
    number.map(Some).ok_or_else(wrong)
}

/// A field that has something in it.
pub(super) fn text<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields
        .get(name)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn only_what_was_changed_is_changed() {
        let now = StreamParameters {
            target_bitrate: Some(Bitrate::bps(4_000_500)),
            idr_interval: Some(Frames(60)),
            ..StreamParameters::default()
        };
        let form = fields(&[
            ("kbps", "4000"),
            ("idr", "30"),
            ("refresh", " "),
            ("awb", "shade"),
        ]);
        let change = change(&form, &now).unwrap();
        assert_eq!(change.target_bitrate, None);
        assert_eq!(change.idr_interval, Some(Frames(30)));
        assert_eq!(change.refresh_interval, None);
        assert_eq!(change.awb, Some(AwbMode::Shade));
    }

    #[test]
    fn what_the_camera_would_not_take_is_told() {
        let now = StreamParameters::default();
        for (form, said) in [
            (
                &[("kbps", "100")][..],
                "the bitrate must be a whole number from 250 to 8500 kb/s",
            ),
            (
                &[("idr", "-1")],
                "the key frame must be a whole number from 1 to 600 frames",
            ),
            (
                &[("refresh", "1e9")],
                "the refresh must be a whole number from 1 to 600 frames",
            ),
            (&[("awb", "pink")], "the white balance must be one of the list"),
            (&[], "it is so already: change a field first"),
        ] {
            assert_eq!(change(&fields(form), &now).unwrap_err(), said);
        }
    }
}

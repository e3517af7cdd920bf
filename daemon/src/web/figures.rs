//! Figures as a person reads them.

use netsetup::view::{Found, Internet, Robot, Status as Network};

use super::view::{Figures, Number, View};

/// A name and a value.
pub(super) type Row = (&'static str, String);

/// How the stream goes.
pub(super) fn stream(view: &View) -> Vec<Row> {
    let figures = &view.statistics;
    let (width, height) = (count(figures, "picture_width"), count(figures, "picture_height"));
    [
        ("Live for", count(figures, "live_seconds").map(span)),
        ("Video", count(figures, "video_bitrate_bps").map(bitrate)),
        (
            "Picture",
            width
                .zip(height)
                .map(|(width, height)| format!("{width} x {height}")),
        ),
        ("Frame rate", real(figures, "frame_rate_hz").map(rate)),
        ("Server", word(figures, "server")),
        ("Backlog", real(figures, "queue_seconds").map(seconds)),
        (
            "Round trip",
            real(figures, "round_trip_seconds").map(milliseconds),
        ),
        ("Frames sent", count(figures, "frames_sent").map(grouped)),
        ("Dropped", count(figures, "frames_dropped").map(dropped)),
        ("Lost", count(figures, "packets_lost").map(lost)),
        ("Sent", count(figures, "bytes_sent").map(size)),
        ("On air", count(figures, "publications").map(times)),
    ]
    .into_iter()
    .filter_map(present)
    .collect()
}

/// What the camera does.
pub(super) fn camera(view: &View) -> Vec<Row> {
    let figures = &view.stream_parameters;
    // The camera's own word for "when I like".
    let every = |frames| match frames {
        0 => "now and then".to_owned(),
        frames => format!("every {} frames", grouped(frames)),
    };
    [
        ("Screen", view.screen.clone()),
        ("Bitrate", count(figures, "target_bitrate_bps").map(bitrate)),
        ("Key frame", count(figures, "idr_interval_frames").map(every)),
        ("Refresh", count(figures, "refresh_interval_frames").map(every)),
        ("White balance", word(figures, "awb_mode")),
    ]
    .into_iter()
    .filter_map(present)
    .collect()
}

/// The robot's side.
pub(super) fn robot(robot: &Robot) -> Vec<Row> {
    let port = robot.layout.map(|found| match found {
        Found::Payload => "payload port".to_owned(),
        Found::Rear => "rear port".to_owned(),
        Found::Dhcp => "it gave us an address".to_owned(),
    });
    [
        ("Ready", Some(yes(robot.ready))),
        ("Our address", robot.own_address.map(|net| net.to_string())),
        (
            "Robot's address",
            robot.address.map(|address| address.to_string()),
        ),
        ("Plugged into", port),
        ("Interface", robot.interface.clone()),
        ("MAC address", robot.mac.clone()),
    ]
    .into_iter()
    .filter_map(present)
    .collect()
}

/// The internet's side.
pub(super) fn internet(network: &Network) -> Vec<Row> {
    let uplink = &network.uplink;
    let answers = match network.internet {
        Internet::Yes => "yes",
        Internet::No => "no",
        Internet::CaptivePortal => "a page wants to be clicked first",
        Internet::Unknown => "not asked yet",
    };
    [
        ("Ready", Some(yes(uplink.ready))),
        ("Answers", Some(answers.to_owned())),
        ("WiFi", uplink.ssid.clone()),
        ("Our address", uplink.address.map(|net| net.to_string())),
        ("Way out", uplink.gateway.map(|address| address.to_string())),
        ("Interface", uplink.interface.clone()),
        ("MAC address", uplink.mac.clone()),
    ]
    .into_iter()
    .filter_map(present)
    .collect()
}

/// The computer itself.
pub(super) fn computer(view: &View) -> Vec<Row> {
    let known = view.appliance.as_ref();
    let some = |word: &String| (!word.is_empty()).then(|| word.clone());
    let addresses = known.map(|known| known.addresses.join(", "));
    [
        ("Image", known.and_then(|known| some(&known.version))),
        ("Slot", known.and_then(|known| some(&known.slot))),
        (
            "Last start",
            known
                .filter(|known| known.last_boot.is_empty())
                .map(|_| "fine".to_owned()),
        ),
        ("Addresses", addresses.as_ref().and_then(some)),
        ("Program", Some(format!("spotstreamd {}", view.daemon_version))),
        ("Payload GUID", view.payload_guid.clone()),
    ]
    .into_iter()
    .filter_map(present)
    .collect()
}

fn present((name, value): (&'static str, Option<String>)) -> Option<Row> {
    Some((name, value?))
}

pub(super) fn count(figures: &Figures, name: &str) -> Option<u64> {
    match figures.get(name)? {
        Number::Count(count) => Some(*count),
        Number::Real(_) | Number::Word(_) => None,
    }
}

fn real(figures: &Figures, name: &str) -> Option<f64> {
    match figures.get(name)? {
        Number::Real(number) => Some(*number),
        Number::Count(_) | Number::Word(_) => None,
    }
}

fn word(figures: &Figures, name: &str) -> Option<String> {
    match figures.get(name)? {
        Number::Word(word) => Some(word.clone()),
        Number::Count(_) | Number::Real(_) => None,
    }
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn dropped(frames: u64) -> String {
    match frames {
        0 => "nothing".to_owned(),
        frames => format!("{} frames, for a slow internet", grouped(frames)),
    }
}

fn lost(packets: u64) -> String {
    match packets {
        0 => "nothing".to_owned(),
        packets => format!("{} packets from the camera", grouped(packets)),
    }
}

fn times(publications: u64) -> String {
    match publications {
        0 => "not yet".to_owned(),
        1 => "once".to_owned(),
        times => format!("{} times", grouped(times)),
    }
}

fn bitrate(bits: u64) -> String {
    format!("{} kb/s", grouped(bits / 1000))
}

fn rate(hertz: f64) -> String {
    format!("{hertz:.1} frames/s")
}

fn seconds(number: f64) -> String {
    format!("{number:.1} s")
}

fn milliseconds(number: f64) -> String {
    format!("{:.0} ms", number * 1000.0)
}

fn span(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours} h {minutes:02} min")
    } else if minutes > 0 {
        format!("{minutes} min {seconds:02} s")
    } else {
        format!("{seconds} s")
    }
}

fn size(bytes: u64) -> String {
    match bytes / 1_000_000 {
        0 => format!("{} kB", bytes / 1000),
        megabytes if megabytes < 10_000 => format!("{} MB", grouped(megabytes)),
        megabytes => format!("{} GB", grouped(megabytes / 1000)),
    }
}

/// 12 345 678, with narrow spaces that do not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_at_a_glance() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(12_345_678), "12\u{202f}345\u{202f}678");
        assert_eq!(bitrate(4_000_000), "4\u{202f}000 kb/s");
        assert_eq!(
            (span(59), span(61), span(7384)),
            ("59 s".into(), "1 min 01 s".into(), "2 h 03 min".into())
        );
        assert_eq!((size(999_999), size(5_000_000)), ("999 kB".into(), "5 MB".into()));
        assert_eq!(milliseconds(0.0314), "31 ms");
    }
}

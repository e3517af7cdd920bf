//! Has the kernel blink: the triggers `pattern`, or `timer` where that is not there.

use std::io;
use std::path::Path;

use tracing::debug;

use super::pattern::Pattern;
use crate::place::Place;

/// The Pi's ACT LED by its names, and one of anyone's making.
const NAMES: [&str; 3] = ["ACT", "led0", "spotstream"];

/// Shows a pattern on every LED that is there; one that does not obey is left alone.
pub fn show(place: &Place, pattern: &Pattern) {
    for name in NAMES {
        let led = place.at("/sys/class/leds").join(name);
        if led.exists()
            && let Err(error) = blink(&led, pattern)
        {
            debug!(name, "failed to set the LED: {error}");
        }
    }
}

fn blink(led: &Path, pattern: &Pattern) -> io::Result<()> {
    if set(led, "trigger", "pattern").is_ok() {
        let brightness = std::fs::read_to_string(led.join("max_brightness"))?;
        return set(led, "pattern", &steps(pattern, brightness.trim()));
    }
    let mut lengths = pattern.steps.iter().map(|(_, length)| length.to_string());
    let (Some(on), Some(off)) = (lengths.next(), lengths.next()) else {
        return Ok(());
    };
    set(led, "trigger", "timer")?;
    set(led, "delay_on", &on)?;
    set(led, "delay_off", &off)
}

/// A pair of a brightness and a length for the step, and one of no length, without which the kernel dims in between
/// (Documentation/devicetree/bindings/leds/leds-trigger-pattern.txt).
fn steps(pattern: &Pattern, brightest: &str) -> String {
    let steps = pattern.steps.iter().map(|(is_on, length)| {
        let brightness = if *is_on { brightest } else { "0" };
        format!("{brightness} {length} {brightness} 0")
    });
    steps.collect::<Vec<_>>().join(" ")
}

fn set(led: &Path, file: &str, value: &str) -> io::Result<()> {
    use std::io::Write;
    // sysfs files are there or not; they are never made.
    let mut to = std::fs::OpenOptions::new().write(true).open(led.join(file))?;
    to.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Mood;
    use crate::led::pattern::of;

    fn led(files: &[&str]) -> (tempfile::TempDir, Place) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/leds/ACT");
        std::fs::create_dir_all(&folder).unwrap();
        for file in files {
            std::fs::write(folder.join(file), "").unwrap();
        }
        std::fs::write(folder.join("max_brightness"), "1\n").unwrap();
        let place = Place::below(root.path());
        (root, place)
    }

    #[test]
    fn the_kernel_is_given_steps_without_dimming() {
        let (_root, place) = led(&["trigger", "pattern"]);
        show(&place, &of(Mood::NoRobot));
        assert_eq!(place.text("/sys/class/leds/ACT/trigger").unwrap(), "pattern");
        assert_eq!(
            place.text("/sys/class/leds/ACT/pattern").unwrap(),
            "1 200 1 0 0 1800 0 0"
        );
    }

    #[test]
    fn a_board_without_an_led_is_no_trouble() {
        show(&Place::below("/nonexistent"), &of(Mood::Live));
    }
}

//! Collects the evidence from the kernel's files.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use nix::libc;

use super::evidence::{Card, Evidence, Firmware, Interface, KernelLog, Memory};
use crate::facts::Facts;
use crate::place::Place;

/// Looks at everything that is there; `now` is what our clock says.
pub fn collect(place: &Place, facts: &Facts, now: SystemTime) -> Evidence {
    Evidence {
        model: place.text("/proc/device-tree/model"),
        firmware: firmware(place),
        throttled: throttled(place),
        has_voltage_alarm: has_voltage_alarm(place),
        kernel_log: kernel_log(place),
        card: card(place, facts.start.disk.as_deref()),
        file_system_errors: file_system_errors(place),
        memory: memory(place),
        temperature: temperature(place),
        is_clock_set: place.at("/run/systemd/timesync/synchronized").exists(),
        year: year(now),
        interfaces: interfaces(place),
        default_routes: default_routes(place),
        network: facts.network.clone(),
        stream: facts.stream.clone(),
        settings: facts.settings.clone(),
        start: facts.start.clone(),
        given_up: facts.given_up.clone(),
        slots: facts.slots.clone(),
    }
}

fn number<T: std::str::FromStr>(place: &Place, path: impl AsRef<Path>) -> Option<T> {
    place.text(path)?.trim().parse().ok()
}

/// The EEPROM writes its version into the device tree (the Pi's documentation of `/proc/device-tree/chosen/bootloader`).
fn firmware(place: &Place) -> Firmware {
    let folder = Path::new("/proc/device-tree/chosen/bootloader");
    let built = fs::read(place.at(folder.join("build-timestamp"))).ok();
    let built = built.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    Firmware {
        version: place.text(folder.join("version")),
        built: built.map(u64::from),
    }
}

fn throttled(place: &Place) -> Option<u32> {
    let text = place.text("/sys/devices/platform/soc/soc:firmware/get_throttled")?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

fn has_voltage_alarm(place: &Place) -> Option<bool> {
    let sensors = Path::new("/sys/class/hwmon");
    let names = place.names(sensors);
    let mut alarms = names
        .iter()
        .filter_map(|name| number::<u8>(place, sensors.join(name).join("in0_lcrit_alarm")));
    alarms.next().map(|alarm| alarm != 0)
}

/// Each read of `/dev/kmsg` gives a record, without end; one that was overwritten meanwhile is an error.
fn kernel_log(place: &Place) -> Option<KernelLog> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(place.at("/dev/kmsg"))
        .ok()?;
    let mut log = KernelLog::default();
    let mut record = [0; 8192];
    loop {
        match file.read(&mut record) {
            Ok(0) => return Some(log),
            Ok(length) => {
                let text = String::from_utf8_lossy(record.get(..length)?).into_owned();
                text.lines().for_each(|line| log.count(line));
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(log),
            Err(_) => return None,
        }
    }
}

fn card(place: &Place, disk: Option<&str>) -> Option<Card> {
    let disk = Path::new(disk?).file_name()?.to_str()?.to_owned();
    let folder = Path::new("/sys/block").join(&disk);
    let device = folder.join("device");
    let host = fs::canonicalize(place.at(&device)).ok();
    let host = host
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .and_then(|name| name.split(':').next())
        .map(str::to_owned);
    let bus = host.and_then(|host| place.text(format!("/sys/kernel/debug/{host}/ios")));
    let timing = bus.and_then(|text| {
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Some(format!("{}, {}", field("timing spec")?, field("clock")?))
    });
    Some(Card {
        name: place.text(device.join("name")).unwrap_or(disk),
        size_mib: number::<u64>(place, folder.join("size"))? / 2048,
        status: place.text(device.join("ssr")),
        bus: timing,
    })
}

fn file_system_errors(place: &Place) -> Option<u64> {
    let folder = Path::new("/sys/fs/ext4");
    let counts = place
        .names(folder)
        .into_iter()
        .filter_map(|name| number::<u64>(place, folder.join(name).join("errors_count")));
    counts.reduce(|all, one| all + one)
}

fn memory(place: &Place) -> Option<Memory> {
    let text = place.text("/proc/meminfo")?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Memory {
        total_kib: field("MemTotal:")?,
        available_kib: field("MemAvailable:")?,
    })
}

fn temperature(place: &Place) -> Option<i64> {
    let folder = Path::new("/sys/class/thermal");
    let names = place.names(folder);
    let zones = names.iter().filter(|name| name.starts_with("thermal_zone"));
    zones
        .filter_map(|name| number::<i64>(place, folder.join(name).join("temp")))
        .max()
}

/// A year of the calendar's mean length is exact enough to tell 1970 from now.
fn year(now: SystemTime) -> Option<u32> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    u32::try_from(1970 + seconds / 31_556_952).ok()
}

fn interfaces(place: &Place) -> Vec<Interface> {
    let folder = Path::new("/sys/class/net");
    let names = place.names(folder).into_iter().filter(|name| name != "lo");
    names
        .map(|name| {
            let of = folder.join(&name);
            let driver = fs::read_link(place.at(of.join("device/driver"))).ok();
            let driver = driver
                .as_deref()
                .and_then(Path::file_name)
                .map(|driver| driver.to_string_lossy().into_owned());
            Interface {
                mac: place.text(of.join("address")).unwrap_or_default(),
                // NET_ADDR_PERM (include/uapi/linux/netdevice.h).
                is_permanent: number::<u8>(place, of.join("addr_assign_type")) == Some(0),
                driver,
                has_carrier: number::<u8>(place, of.join("carrier")) == Some(1),
                is_wireless: place.at(of.join("phy80211")).exists(),
                name,
            }
        })
        .collect()
}

fn default_routes(place: &Place) -> Vec<(String, String)> {
    let text = place.text("/proc/net/route").unwrap_or_default();
    let routes = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (interface, destination, gateway) = (words.next()?, words.next()?, words.next()?);
        // The kernel prints addresses as numbers of this machine's byte order, which is little-endian on all boards.
        let gateway = u32::from_str_radix(gateway, 16).ok()?.to_le_bytes();
        let is_default = destination == "00000000" && words.nth(4)? == "00000000";
        is_default.then(|| {
            (
                interface.to_owned(),
                std::net::Ipv4Addr::from(gateway).to_string(),
            )
        })
    });
    routes.collect()
}

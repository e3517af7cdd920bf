//! The camera's settings on loan: kept before we change them, put back when we stop.
//!
//! The settings have no session: what we set, the tablet and every other viewer see, and after a power cut the camera
//! may still have it. So each value is read and saved once, before its first change, and a value that stands in the
//! record is never read again: from then on, what the camera shows there may be ours.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use super::screens::ScreenName;
use super::stream_parameters::StreamParameters;

/// One setting of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is a field of Settings")]
pub enum Setting {
    TargetBitrate,
    RefreshInterval,
    IdrInterval,
    Awb,
    Screen,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 5] = [
        Self::TargetBitrate,
        Self::RefreshInterval,
        Self::IdrInterval,
        Self::Awb,
        Self::Screen,
    ];

    /// Its name in records and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TargetBitrate => "target_bitrate",
            Self::RefreshInterval => "refresh_interval",
            Self::IdrInterval => "idr_interval",
            Self::Awb => "awb_mode",
            Self::Screen => "screen",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What can be set. A field that is `None` is not known, or not to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the encoder.
    pub parameters: StreamParameters,
    /// Of the compositor.
    pub screen: Option<ScreenName>,
}

impl Settings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn copy(&mut self, setting: Setting, from: &Self) {
        match setting {
            Setting::TargetBitrate => self.parameters.target_bitrate = from.parameters.target_bitrate,
            Setting::RefreshInterval => self.parameters.refresh_interval = from.parameters.refresh_interval,
            Setting::IdrInterval => self.parameters.idr_interval = from.parameters.idr_interval,
            Setting::Awb => self.parameters.awb = from.parameters.awb,
            Setting::Screen => self.screen.clone_from(&from.screen),
        }
    }

    /// The value of one setting, for people and for comparison.
    fn text(&self, setting: Setting) -> Option<String> {
        match setting {
            Setting::TargetBitrate => self
                .parameters
                .target_bitrate
                .map(|rate| format!("{} b/s", rate.as_bps())),
            Setting::RefreshInterval => self.parameters.refresh_interval.map(|frames| frames.to_string()),
            Setting::IdrInterval => self.parameters.idr_interval.map(|frames| frames.to_string()),
            Setting::Awb => self.parameters.awb.map(|mode| mode.to_string()),
            Setting::Screen => self.screen.as_ref().map(ScreenName::to_string),
        }
    }

    fn only(&self, keep: impl Fn(Setting) -> bool) -> Self {
        let mut some = Self::default();
        for setting in Setting::ALL.into_iter().filter(|&setting| keep(setting)) {
            some.copy(setting, self);
        }
        some
    }
}

/// What we have borrowed of one camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loan {
    /// What we may have changed.
    pub borrowed: BTreeSet<Setting>,
    /// How it was before us; the camera does not tell every value.
    pub theirs: Settings,
}

impl Loan {
    /// Whether nothing is to be put back.
    pub fn is_empty(&self) -> bool {
        self.borrowed.is_empty()
    }

    /// What is still on loan when the camera, asked to take everything back, shows `applied`: what it did not take,
    /// and what it never told us. The latter stays in the record for ever, for it may be ours.
    fn after_return(&self, applied: &Settings) -> Self {
        let borrowed: BTreeSet<Setting> = self
            .borrowed
            .iter()
            .copied()
            .filter(|&setting| {
                let theirs = self.theirs.text(setting);
                theirs.is_none() || theirs != applied.text(setting)
            })
            .collect();
        let theirs = self.theirs.only(|setting| borrowed.contains(&setting));
        Self { borrowed, theirs }
    }

    /// Adds what `change` touches for the first time. False when that is nothing.
    fn borrow(&mut self, change: &Settings, current: &Settings) -> bool {
        let before = self.borrowed.len();
        for setting in Setting::ALL {
            if change.text(setting).is_some() && self.borrowed.insert(setting) {
                self.theirs.copy(setting, current);
            }
        }
        self.borrowed.len() != before
    }
}

/// The camera has something else than what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the camera did not take {setting} = {wanted}{}", .applied.as_ref().map(|has| format!(", it has {has}")).unwrap_or_default())]
pub struct Refusal {
    /// Which setting.
    pub setting: Setting,
    /// What we asked for.
    pub wanted: String,
    /// What it has.
    pub applied: Option<String>,
}

/// What `wanted` asked for and `applied` does not show.
pub fn refusals(wanted: &Settings, applied: &Settings) -> Vec<Refusal> {
    Setting::ALL
        .into_iter()
        .filter_map(|setting| {
            let wanted = wanted.text(setting)?;
            let applied = applied.text(setting);
            (applied.as_ref() != Some(&wanted)).then_some(Refusal {
                setting,
                wanted,
                applied,
            })
        })
        .collect()
}

/// What happens to the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The camera can be asked, with this record of an earlier run (empty if there is none).
    Connected(Loan),
    /// It no longer can. The record on disk stays.
    Disconnected,
    /// From now on, this is what we want; `None` fields are left as they are.
    Want(Settings),
    /// A clean stop: put everything back.
    Stop,
    /// The answer to [`Output::Read`].
    Current(Settings),
    /// The answer to [`Output::Save`]: it is on disk.
    Saved,
    /// The answer to [`Output::Set`]: what the camera has now.
    Applied(Settings),
    /// The last output could not be carried out.
    Failed,
}

/// What is to be done, or to be told. At most one of the first three is out at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read every setting.
    Read,
    /// Write this to disk; an empty one may be deleted.
    Save(Loan),
    /// Set what is given, and read it back.
    Set(Settings),
    /// What the camera made of our wish; empty when it took all of it.
    Settled(Vec<Refusal>),
    /// Everything is put back as far as it was known, or the camera is away and the record stays.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Away,
    Idle,
    Reading,
    /// The record is on its way to disk; the change waits for it.
    Saving(Settings),
    Setting(Settings),
    PuttingBack,
    /// What is left of the record is on its way to disk.
    Closing(Loan),
}

/// The machine. It has no time of its own: who carries the outputs out also bounds them.
#[derive(Debug)]
pub struct Custody {
    state: State,
    loan: Loan,
    wanted: Settings,
    /// What we have asked for so far: a value that the camera has refused is not asked for again.
    asked: Settings,
    stopping: bool,
    output: VecDeque<Output>,
}

impl Default for Custody {
    fn default() -> Self {
        Self {
            state: State::Away,
            loan: Loan::default(),
            wanted: Settings::default(),
            asked: Settings::default(),
            stopping: false,
            output: VecDeque::new(),
        }
    }
}

impl Custody {
    /// Takes what happened.
    pub fn handle(&mut self, input: Input) {
        match (input, std::mem::replace(&mut self.state, State::Idle)) {
            (Input::Connected(loan), State::Away) => {
                self.loan = loan;
                self.asked = Settings::default();
                self.next();
            }
            (Input::Disconnected | Input::Failed, _) => {
                self.state = State::Away;
                // What was not begun must not be done later, beside what the next connection asks for.
                self.output
                    .retain(|output| matches!(output, Output::Settled(_) | Output::Stopped));
                self.stop_if_away();
            }
            (Input::Want(wanted), state) => {
                self.wanted = wanted;
                self.stopping = false;
                self.resume(state);
            }
            (Input::Stop, state) => {
                self.stopping = true;
                self.resume(state);
            }
            (Input::Current(current), State::Reading) => self.change(&current),
            (Input::Saved, State::Saving(change)) => {
                if self.stopping {
                    self.next();
                } else {
                    self.set(change);
                }
            }
            (Input::Applied(applied), State::Setting(change)) => {
                self.output
                    .push_back(Output::Settled(refusals(&change, &applied)));
                self.next();
            }
            (Input::Applied(applied), State::PuttingBack) => {
                let rest = self.loan.after_return(&applied);
                self.output.push_back(Output::Save(rest.clone()));
                self.state = State::Closing(rest);
            }
            (Input::Saved, State::Closing(rest)) => {
                self.loan = rest;
                self.asked = Settings::default();
                if self.stopping {
                    self.stopped();
                }
                self.next();
            }
            // An answer to what is no longer asked.
            (Input::Connected(_) | Input::Current(_) | Input::Saved | Input::Applied(_), state) => {
                self.state = state
            }
        }
    }

    /// What is to be done or told next.
    pub fn poll(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// What has been asked for so far.
    pub fn asked(&self) -> &Settings {
        &self.asked
    }

    /// What is borrowed.
    pub fn loan(&self) -> &Loan {
        &self.loan
    }

    /// A new wish is met at once when nothing is out, and after the answer otherwise.
    fn resume(&mut self, state: State) {
        match state {
            State::Idle => self.next(),
            State::Away => {
                self.state = State::Away;
                self.stop_if_away();
            }
            State::Reading
            | State::Saving(_)
            | State::Setting(_)
            | State::PuttingBack
            | State::Closing(_) => {
                self.state = state;
            }
        }
    }

    fn stop_if_away(&mut self) {
        if self.stopping {
            self.stopped();
        }
    }

    fn stopped(&mut self) {
        self.stopping = false;
        self.wanted = Settings::default();
        self.output.push_back(Output::Stopped);
    }

    fn next(&mut self) {
        if self.stopping {
            self.put_back();
            return;
        }
        let change = self
            .wanted
            .only(|setting| self.wanted.text(setting) != self.asked.text(setting));
        if change.is_empty() {
            self.state = State::Idle;
        } else if Setting::ALL
            .into_iter()
            .all(|setting| change.text(setting).is_none() || self.loan.borrowed.contains(&setting))
        {
            self.set(change);
        } else {
            self.state = State::Reading;
            self.output.push_back(Output::Read);
        }
    }

    fn change(&mut self, current: &Settings) {
        if self.stopping {
            self.next();
            return;
        }
        let change = self
            .wanted
            .only(|setting| self.wanted.text(setting) != self.asked.text(setting));
        if self.loan.borrow(&change, current) {
            self.output.push_back(Output::Save(self.loan.clone()));
            self.state = State::Saving(change);
        } else {
            self.next();
        }
    }

    fn set(&mut self, change: Settings) {
        for setting in Setting::ALL
            .into_iter()
            .filter(|&setting| change.text(setting).is_some())
        {
            self.asked.copy(setting, &change);
        }
        self.output.push_back(Output::Set(change.clone()));
        self.state = State::Setting(change);
    }

    fn put_back(&mut self) {
        self.wanted = Settings::default();
        if self.loan.theirs.is_empty() {
            self.state = State::Idle;
            self.stopped();
        } else {
            self.state = State::PuttingBack;
            self.output.push_back(Output::Set(self.loan.theirs.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::robot::stream_parameters::{AwbMode, Frames};
    use crate::units::Bitrate;

    fn bitrate(bps: u64) -> Settings {
        let mut settings = Settings::default();
        settings.parameters.target_bitrate = Some(Bitrate::bps(bps));
        settings
    }

    fn drain(custody: &mut Custody) -> Vec<Output> {
        std::iter::from_fn(|| custody.poll()).collect()
    }

    #[test]
    fn a_value_is_on_disk_before_it_is_changed_and_put_back_on_a_clean_stop() {
        let mut custody = Custody::default();
        custody.handle(Input::Want(bitrate(2_000_000)));
        assert_eq!(drain(&mut custody), []);
        custody.handle(Input::Connected(Loan::default()));
        assert_eq!(drain(&mut custody), [Output::Read]);
        custody.handle(Input::Current(bitrate(6_000_000)));
        let loan = Loan {
            borrowed: BTreeSet::from([Setting::TargetBitrate]),
            theirs: bitrate(6_000_000),
        };
        assert_eq!(drain(&mut custody), [Output::Save(loan)]);
        custody.handle(Input::Saved);
        assert_eq!(drain(&mut custody), [Output::Set(bitrate(2_000_000))]);
        custody.handle(Input::Applied(bitrate(2_000_000)));
        assert_eq!(drain(&mut custody), [Output::Settled(vec![])]);
        custody.handle(Input::Want(bitrate(1_000_000)));
        assert_eq!(drain(&mut custody), [Output::Set(bitrate(1_000_000))]);
        custody.handle(Input::Stop);
        custody.handle(Input::Applied(bitrate(1_000_000)));
        assert_eq!(
            drain(&mut custody),
            [Output::Settled(vec![]), Output::Set(bitrate(6_000_000))]
        );
        custody.handle(Input::Applied(bitrate(6_000_000)));
        assert_eq!(drain(&mut custody), [Output::Save(Loan::default())]);
        custody.handle(Input::Saved);
        assert_eq!(drain(&mut custody), [Output::Stopped]);
    }

    #[test]
    fn what_the_camera_clamps_is_told_and_not_asked_for_again() {
        let mut custody = Custody::default();
        custody.handle(Input::Connected(Loan::default()));
        custody.handle(Input::Want(bitrate(9_000_000)));
        custody.handle(Input::Current(bitrate(1)));
        custody.handle(Input::Saved);
        custody.handle(Input::Applied(bitrate(4_000_000)));
        let told = drain(&mut custody).pop();
        let Some(Output::Settled(refusals)) = told else {
            panic!("{told:?}")
        };
        assert_eq!(
            refusals[0].to_string(),
            "the camera did not take target_bitrate = 9000000 b/s, it has 4000000 b/s"
        );
        custody.handle(Input::Want(bitrate(9_000_000)));
        assert_eq!(drain(&mut custody), []);
    }

    #[test]
    fn a_stop_while_the_camera_is_away_keeps_the_record() {
        let mut custody = Custody::default();
        custody.handle(Input::Connected(Loan::default()));
        custody.handle(Input::Want(bitrate(2)));
        custody.handle(Input::Current(bitrate(1)));
        custody.handle(Input::Saved);
        custody.handle(Input::Disconnected);
        drain(&mut custody);
        custody.handle(Input::Stop);
        assert_eq!(drain(&mut custody), [Output::Stopped]);
        assert_eq!(custody.loan().theirs, bitrate(1));
    }

    #[test]
    fn a_value_that_the_camera_never_told_stays_on_record_for_it_may_be_ours() {
        let mut custody = Custody::default();
        custody.handle(Input::Connected(Loan::default()));
        let mut wanted = bitrate(2);
        wanted.parameters.idr_interval = Some(Frames(60));
        custody.handle(Input::Want(wanted.clone()));
        let told = with(Setting::IdrInterval, 0);
        custody.handle(Input::Current(told.clone()));
        custody.handle(Input::Saved);
        custody.handle(Input::Applied(wanted));
        custody.handle(Input::Stop);
        drain(&mut custody);
        custody.handle(Input::Applied(told));
        let rest = Loan {
            borrowed: BTreeSet::from([Setting::TargetBitrate]),
            theirs: Settings::default(),
        };
        assert_eq!(drain(&mut custody), [Output::Save(rest)]);
    }

    /// Odd values are ours, even ones are of people before us or beside us.
    fn with(setting: Setting, value: u32) -> Settings {
        let mut settings = Settings::default();
        match setting {
            Setting::TargetBitrate => settings.parameters.target_bitrate = Some(Bitrate::bps(value.into())),
            Setting::RefreshInterval => settings.parameters.refresh_interval = Some(Frames(value.into())),
            Setting::IdrInterval => settings.parameters.idr_interval = Some(Frames(value.into())),
            Setting::Awb => {
                settings.parameters.awb = AwbMode::ALL.get(usize::try_from(value % 10).unwrap()).copied();
            }
            Setting::Screen => settings.screen = Some(format!("s{value}").parse().unwrap()),
        }
        settings
    }

    fn value_of(settings: &Settings, setting: Setting) -> Option<u32> {
        let text = match setting {
            Setting::Awb => {
                let mode = settings.parameters.awb?;
                AwbMode::ALL.iter().position(|&other| other == mode)?.to_string()
            }
            Setting::TargetBitrate | Setting::RefreshInterval | Setting::IdrInterval | Setting::Screen => {
                settings.text(setting)?
            }
        };
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .ok()
    }

    #[derive(Clone, Debug)]
    enum Event {
        Connect,
        Disconnect,
        Want(Setting, u32),
        Stop,
        /// Carries out the next output and answers it.
        Step,
        /// Carries it out, and then the answer is lost or the power is cut.
        CutAfter,
        /// The power is cut before anything more happens.
        Cut,
        /// Somebody sets a value by the tablet.
        Tablet(Setting, u32),
        /// The camera no longer tells this setting, or tells all again.
        Mute(Option<Setting>),
    }

    fn event() -> impl Strategy<Value = Event> {
        let setting = || proptest::sample::select(Setting::ALL.to_vec());
        prop_oneof![
            4 => Just(Event::Connect),
            1 => Just(Event::Disconnect),
            4 => (setting(), 0_u32..5).prop_map(|(setting, n)| Event::Want(setting, 2 * n + 1)),
            2 => Just(Event::Stop),
            12 => Just(Event::Step),
            1 => Just(Event::CutAfter),
            1 => Just(Event::Cut),
            1 => (setting(), 0_u32..5).prop_map(|(setting, n)| Event::Tablet(setting, 2 * n)),
            1 => proptest::option::of(setting()).prop_map(Event::Mute),
        ]
    }

    /// A camera that does not tell `mute`, and takes no bitrate over 5 (ours or anybody's).
    struct World {
        custody: Custody,
        camera: Settings,
        disk: Loan,
        mute: Option<Setting>,
        before_us: Settings,
        wanted: Settings,
        stopped: bool,
    }

    impl World {
        fn told(&self) -> Settings {
            self.camera.only(|setting| Some(setting) != self.mute)
        }

        fn carry_out(&mut self, output: Output) -> Result<Option<Input>, TestCaseError> {
            Ok(match output {
                Output::Read => Some(Input::Current(self.told())),
                Output::Save(loan) => {
                    for setting in Setting::ALL {
                        let theirs = value_of(&loan.theirs, setting);
                        prop_assert!(
                            theirs.is_none_or(|value| value % 2 == 0),
                            "{setting} = {theirs:?} is ours"
                        );
                    }
                    self.disk = loan;
                    Some(Input::Saved)
                }
                Output::Set(change) => {
                    for setting in Setting::ALL
                        .into_iter()
                        .filter(|&setting| change.text(setting).is_some())
                    {
                        prop_assert!(self.disk.borrowed.contains(&setting), "{setting} is not on disk");
                        self.camera.copy(setting, &change);
                    }
                    if self.camera.parameters.target_bitrate > Some(Bitrate::bps(5)) {
                        self.camera.parameters.target_bitrate = Some(Bitrate::bps(5));
                    }
                    Some(Input::Applied(self.told()))
                }
                Output::Settled(_) => None,
                Output::Stopped => {
                    self.stopped = true;
                    None
                }
            })
        }

        fn run(&mut self, event: Event) -> Result<(), TestCaseError> {
            match event {
                Event::Connect => self.custody.handle(Input::Connected(self.disk.clone())),
                Event::Disconnect => self.custody.handle(Input::Disconnected),
                Event::Want(setting, value) => {
                    self.wanted.copy(setting, &with(setting, value));
                    self.custody.handle(Input::Want(self.wanted.clone()));
                }
                Event::Stop => self.custody.handle(Input::Stop),
                Event::Step => {
                    if let Some(output) = self.custody.poll()
                        && let Some(answer) = self.carry_out(output)?
                    {
                        self.custody.handle(answer);
                    }
                }
                Event::CutAfter => {
                    if let Some(output) = self.custody.poll() {
                        self.carry_out(output)?;
                    }
                    self.cut();
                }
                Event::Cut => self.cut(),
                Event::Tablet(setting, value) => self.camera.copy(setting, &with(setting, value)),
                Event::Mute(setting) => self.mute = setting,
            }
            Ok(())
        }

        fn cut(&mut self) {
            self.custody = Custody::default();
            self.wanted = Settings::default();
        }
    }

    fn world(mute: Option<Setting>) -> World {
        let mut before_us = Settings::default();
        for setting in Setting::ALL {
            before_us.copy(setting, &with(setting, 4));
        }
        World {
            custody: Custody::default(),
            camera: before_us.clone(),
            disk: Loan::default(),
            mute,
            before_us,
            wanted: Settings::default(),
            stopped: false,
        }
    }

    proptest! {
        #[test]
        fn what_we_set_is_never_recorded_as_theirs(
            mute in proptest::option::of(proptest::sample::select(Setting::ALL.to_vec())),
            events in proptest::collection::vec(event(), 0..120),
        ) {
            let mut world = world(mute);
            for event in events {
                // People know what their camera takes.
                let impossible = matches!(event, Event::Tablet(Setting::TargetBitrate, 5..));
                if !impossible {
                    world.run(event)?;
                }
            }
        }

        #[test]
        fn after_a_clean_stop_the_camera_is_as_it_was_before_us(
            events in proptest::collection::vec(event(), 0..120),
        ) {
            let mut world = world(None);
            for event in events {
                if !matches!(event, Event::Tablet(..) | Event::Mute(_)) {
                    world.run(event)?;
                }
            }
            world.run(Event::Disconnect)?;
            while world.custody.poll().is_some() {}
            world.stopped = false;
            world.run(Event::Connect)?;
            world.run(Event::Stop)?;
            for _ in 0..20 {
                world.run(Event::Step)?;
            }
            prop_assert!(world.stopped);
            prop_assert_eq!(&world.camera, &world.before_us);
            prop_assert!(world.disk.is_empty());
        }
    }
}

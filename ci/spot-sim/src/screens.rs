//! The compositor's screens, as a Spot CAM+IR lists them.

/// A picture that the compositor can make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) name: &'static str,
    /// Whether the picture is the stitched ring alone, which has another shape.
    pub(crate) panorama: bool,
}

/// All screens; the picture's code carries the index.
pub(crate) const SCREENS: [Screen; 15] = [
    screen("digi"),
    screen("digi_overlay"),
    screen("digi_full"),
    screen("c0"),
    screen("c1"),
    screen("c2"),
    screen("c3"),
    screen("c4"),
    screen("mech"),
    screen("mech_full"),
    screen("mech_overlay"),
    screen("mech_overlay_ir"),
    screen("mech_ir"),
    screen("mech_full_ir"),
    Screen {
        name: "pano_full",
        panorama: true,
    },
];

const fn screen(name: &'static str) -> Screen {
    Screen {
        name,
        panorama: false,
    }
}

/// The index of the screen with this name.
pub(crate) fn find(name: &str) -> Option<usize> {
    SCREENS.iter().position(|screen| screen.name == name)
}

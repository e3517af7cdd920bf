//! Declares what a program reads of the file, once: section, key, type, and the example that an error shows.

use std::fmt::Debug;

use crate::field::Listed;
use crate::reader::{Reader, Table};

/// Everything that a program reads of the file, as it was written. [`declare!`](crate::declare) makes one.
pub trait Format: Clone + Debug + Default {
    /// Every section that is read, and its keys.
    const SECTIONS: &'static [(&'static str, &'static [&'static str])];
    /// Sections of the same file that only other programs read.
    const OTHERS: &'static [&'static str];
    /// The defaults as TOML, what comes later over what comes before.
    const DEFAULTS: &'static [&'static str];

    /// Takes what is there, and tells the reader what is wrong.
    fn read(root: &Table<'_>, reader: &mut Reader<'_>) -> Self;
    /// This over `below`: key by key, but a section that may be repeated as a whole.
    #[must_use]
    fn over(self, below: Self) -> Self;
    /// All keys of our own sections that hold, in the order of the format.
    fn list(&self) -> Vec<Listed>;
}

/// One section, as it was written.
pub trait Section: Default {
    /// Its keys.
    const KEYS: &'static [&'static str];

    /// Takes what is there.
    fn read(name: &'static str, table: &Table<'_>, reader: &mut Reader<'_>) -> Self;
    /// This over `below`, key by key.
    #[must_use]
    fn over(self, below: Self) -> Self;
    /// Lists all keys that hold, as keys of `name`.
    fn list(&self, name: &str, lines: &mut Vec<Listed>);
}

/// Declares a `Fragment`: `sections` that a file has once, `lists` that it may have several times (`[[wifi]]`), and the
/// keys that are read of other programs' sections (`partly`), where to report what is wrong, and to list what holds, is
/// left to those.
#[macro_export]
macro_rules! declare {
    (
        others: $others:expr;
        defaults: $defaults:expr;
        sections { $($(#[$about:meta])* $section:ident $Section:ident { $($keys:tt)* })* }
        $(lists { $($(#[$list_about:meta])* $list:ident $List:ident { $($list_keys:tt)* })* })?
        $(partly { $($(#[$part_about:meta])* $part:ident $Part:ident { $($part_keys:tt)* })* })?
    ) => {
        /// Every key of our own sections, by the section it belongs to.
        pub const KEYS: &[(&str, &[&str])] = &[
            $((stringify!($section), <$Section as $crate::declare::Section>::KEYS),)*
            $($((stringify!($list), <$List as $crate::declare::Section>::KEYS),)*)?
        ];

        /// What one file says, or several laid over each other.
        #[derive(Clone, Debug, Default)]
        pub struct Fragment {
            $($(#[$about])* pub $section: $Section,)*
            $($($(#[$list_about])* pub $list: Vec<$crate::At<$List>>,)*)?
            $($($(#[$part_about])* pub $part: $Part,)*)?
        }

        impl $crate::Format for Fragment {
            const SECTIONS: &'static [(&'static str, &'static [&'static str])] = &[
                $((stringify!($section), <$Section as $crate::declare::Section>::KEYS),)*
                $($((stringify!($list), <$List as $crate::declare::Section>::KEYS),)*)?
                $($((stringify!($part), <$Part as $crate::declare::Section>::KEYS),)*)?
            ];
            const OTHERS: &'static [&'static str] = &$others;
            const DEFAULTS: &'static [&'static str] = &$defaults;

            fn read(root: &$crate::reader::Table<'_>, reader: &mut $crate::reader::Reader<'_>) -> Self {
                Self {
                    $($section: reader.section(root, stringify!($section)),)*
                    $($($list: reader.list(root, stringify!($list)),)*)?
                    $($($part: reader.part(root, stringify!($part)),)*)?
                }
            }

            fn over(self, below: Self) -> Self {
                Self {
                    $($section: $crate::declare::Section::over(self.$section, below.$section),)*
                    $($($list: if self.$list.is_empty() { below.$list } else { self.$list },)*)?
                    $($($part: $crate::declare::Section::over(self.$part, below.$part),)*)?
                }
            }

            fn list(&self) -> Vec<$crate::Listed> {
                let mut lines = Vec::new();
                $($crate::declare::Section::list(&self.$section, stringify!($section), &mut lines);)*
                $($($crate::declare::list_all(&self.$list, stringify!($list), &mut lines);)*)?
                lines
            }
        }

        $($crate::section! { $(#[$about])* $Section { $($keys)* } })*
        $($($crate::section! { $(#[$list_about])* $List { $($list_keys)* } })*)?
        $($($crate::section! { $(#[$part_about])* $Part { $($part_keys)* } })*)?
    };
}

/// Declares one section for [`declare!`](crate::declare).
#[doc(hidden)]
#[macro_export]
macro_rules! section {
    ($(#[$about:meta])* $Section:ident { $($(#[$doc:meta])* $key:ident: $type:ty, $example:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default)]
        pub struct $Section { $($(#[$doc])* pub $key: $crate::Field<$type>,)* }

        impl $crate::declare::Section for $Section {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn read(
                name: &'static str,
                table: &$crate::reader::Table<'_>,
                reader: &mut $crate::reader::Reader<'_>,
            ) -> Self {
                Self { $($key: reader.field(name, stringify!($key), table, $example),)* }
            }

            fn over(self, below: Self) -> Self {
                Self { $($key: self.$key.over(below.$key),)* }
            }

            fn list(&self, name: &str, lines: &mut Vec<$crate::Listed>) {
                $(lines.extend($crate::Listed::of(name, stringify!($key), &self.$key));)*
            }
        }
    };
}

/// Lists a section that may be repeated; numbered from 1 where it is.
pub fn list_all<S: Section>(items: &[crate::At<S>], name: &str, lines: &mut Vec<Listed>) {
    for (number, item) in items.iter().enumerate() {
        if items.len() == 1 {
            item.value.list(name, lines);
        } else {
            item.value.list(&format!("{name}.{}", number + 1), lines);
        }
    }
}

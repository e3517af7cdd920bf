//! What a file says about one key, and what types a key can have.

use std::fmt;

use spotstream_core::secret::Secret;
use toml::de::DeValue;

use crate::error::Place;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// What a file says about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that has already been reported as wrong.
    Wrong,
    /// A value of the right type.
    Given(At<T>),
}

impl<T> Field<T> {
    /// This if it says anything, else what is `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        match self {
            Self::Absent => below,
            Self::Wrong | Self::Given(_) => self,
        }
    }

    /// Whether the key was written, right or wrong.
    pub const fn is_written(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// The value, if it is there and of the right type.
pub fn given<T: Copy>(field: &Field<T>) -> Option<T> {
    match field {
        Field::Given(at) => Some(at.value),
        Field::Absent | Field::Wrong => None,
    }
}

/// Where the value was written.
pub fn place<T>(field: &Field<T>) -> Option<&Place> {
    match field {
        Field::Given(at) => Some(&at.place),
        Field::Absent | Field::Wrong => None,
    }
}

/// One line of the list of what holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `section.key`.
    pub key: String,
    /// The value; a secret only as "(set)".
    pub value: String,
    /// Where it was written.
    pub place: Place,
}

impl Listed {
    /// The line of a key, if it holds.
    pub fn of<T: Value>(section: &str, key: &str, field: &Field<T>) -> Option<Self> {
        let Field::Given(at) = field else { return None };
        Some(Self {
            key: format!("{section}.{key}"),
            value: at.value.show(),
            place: at.place.clone(),
        })
    }
}

/// Every key that holds.
#[derive(Clone, Debug)]
pub struct Listing(pub Vec<Listed>);

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|line| writeln!(f, "{} = {}  # {}", line.key, line.value, line.place))
    }
}

/// A type that a key can have.
pub trait Value: Sized {
    /// The type in words a student knows.
    const EXPECTED: &'static str;
    /// The value, if it is of this type.
    fn read(value: &DeValue<'_>) -> Option<Self>;
    /// As it is listed; a secret only as "(set)".
    fn show(&self) -> String;
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false, without quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const EXPECTED: &'static str = "a whole number, without quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        Self::from_str_radix(number.as_str(), number.radix()).ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a text in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(|text| text.trim().to_owned())
    }
    fn show(&self) -> String {
        format!("\"{}\"", self.escape_default())
    }
}

impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list of texts in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value
            .as_array()?
            .iter()
            .map(|item| String::read(item.get_ref()))
            .collect()
    }
    fn show(&self) -> String {
        format!(
            "[{}]",
            self.iter().map(Value::show).collect::<Vec<_>>().join(", ")
        )
    }
}

impl Value for Secret {
    const EXPECTED: &'static str = "a text in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(Self::new)
    }
    fn show(&self) -> String {
        "(set)".to_owned()
    }
}

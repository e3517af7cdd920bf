//! The doctor: looks at everything ([`evidence`]), and says what is well, what is not, and what to do ([`judge`]).

pub mod collect;
pub mod evidence;
pub mod judge;

use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well.
    Ok,
    /// Not well.
    Problem,
    /// Nobody tells.
    Unknown,
}

impl Verdict {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub finding: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

impl Check {
    /// Well.
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, finding, "")
    }

    /// Not well.
    pub fn problem(name: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(name, Verdict::Problem, finding, advice)
    }

    /// Nobody tells.
    pub fn unknown(name: &'static str, finding: impl Into<String>) -> Self {
        Self::new(name, Verdict::Unknown, finding, "")
    }

    fn new(
        name: &'static str,
        verdict: Verdict,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            finding: finding.into(),
            advice: advice.into(),
        }
    }
}

/// All findings as `{"checks":[...]}`.
pub fn json(checks: &[Check]) -> String {
    serde_json::json!({ "checks": checks }).to_string()
}

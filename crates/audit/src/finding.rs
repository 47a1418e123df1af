//! What the auditor says, and how `evenkeel audit` shows it.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{Deserialize, Serialize};

/// More findings of one promise than this are counted, not shown: one cause often has many.
const SHOWN: usize = 20;

/// The promises, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Promise {
    /// 1.
    Whole,
    /// 2.
    Durable,
    /// 3.
    KeepsRunning,
    /// 4.
    Available,
    /// 5.
    Foreign,
    /// 6.
    Secret,
    /// 7.
    Cause,
    /// 8.
    SamePlan,
}

impl Promise {
    /// Every promise, in order.
    pub const ALL: [Self; 8] = [
        Self::Whole,
        Self::Durable,
        Self::KeepsRunning,
        Self::Available,
        Self::Foreign,
        Self::Secret,
        Self::Cause,
        Self::SamePlan,
    ];

    /// Its number, from 1.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// What is promised.
    pub fn text(self) -> &'static str {
        match self {
            Self::Whole => "A revision is applied whole, or not at all.",
            Self::Durable => "An answered write survives kill -9 and power loss.",
            Self::KeepsRunning => "No container is stopped because the server, the agent, git or the network is away.",
            Self::Available => {
                "No act of Evenkeel takes a workload below its promised availability, or further below it."
            }
            Self::Foreign => {
                "A foreign container is never touched; an object that its source did not make is never deleted by it."
            }
            Self::Secret => "No value of a Secret reaches a log, a diff, a drift, an event or an error.",
            Self::Cause => "Everything that is not as desired has a cause that a person can read.",
            Self::SamePlan => "The same input gives the same plan.",
        }
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The promise is broken.
    Broken,
    /// Not as it should be, but work that is under way may be about to put it right.
    Unsettled,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How sure.
    pub severity: Severity,
    /// Which promise.
    pub promise: Promise,
    /// What it is about: an object's key as `Pod shop/web-1`, or a text's origin.
    pub object: String,
    /// What is wrong. Never holds a Secret's value.
    pub message: String,
}

impl Finding {
    pub(crate) fn broken(promise: Promise, object: &(impl ToString + ?Sized), message: impl Into<String>) -> Self {
        Self { severity: Severity::Broken, promise, object: object.to_string(), message: message.into() }
    }

    pub(crate) fn unsettled(promise: Promise, object: &(impl ToString + ?Sized), message: impl Into<String>) -> Self {
        Self { severity: Severity::Unsettled, ..Self::broken(promise, object, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsettled = if self.severity == Severity::Unsettled { " (may be under way)" } else { "" };
        write!(f, "{}: {}{unsettled}", self.object, self.message)
    }
}

/// The findings for people, by promise; the last line counts them.
pub fn render(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for promise in Promise::ALL {
        let of_promise: Vec<&Finding> = findings.iter().filter(|f| f.promise == promise).collect();
        if of_promise.is_empty() {
            continue;
        }
        lines.push(format!("{}. {}", promise.number(), promise.text()));
        lines.extend(of_promise.iter().take(SHOWN).map(|f| format!("   {f}")));
        if of_promise.len() > SHOWN {
            lines.push(format!("   and {} more", of_promise.len() - SHOWN));
        }
    }
    let broken = findings.iter().filter(|f| f.severity == Severity::Broken).count();
    let unsettled = findings.len() - broken;
    lines.push(match (broken, unsettled) {
        (0, 0) => "Every promise holds.".into(),
        (0, n) => format!("No promise is broken; {n} to look at again when nothing is under way."),
        (n, 0) => format!("{n} broken."),
        (n, m) => format!("{n} broken; {m} to look at again when nothing is under way."),
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_by_promise() {
        assert_eq!(render(&[]), "Every promise holds.\n");
        let mut all = alloc::vec![
            Finding::broken(Promise::Available, "Deployment a/b", "x"),
            Finding::unsettled(Promise::Whole, "Source s", "y"),
        ];
        assert_eq!(
            render(&all),
            "1. A revision is applied whole, or not at all.\n   Source s: y (may be under way)\n\
             4. No act of Evenkeel takes a workload below its promised availability, or further below it.\n   \
             Deployment a/b: x\n1 broken; 1 to look at again when nothing is under way.\n"
        );
        all.extend((0..30).map(|i| Finding::broken(Promise::Cause, "Pod a/b", format!("{i}"))));
        assert!(render(&all).contains("and 10 more"));
        assert_eq!(Promise::SamePlan.number(), 8);
    }
}

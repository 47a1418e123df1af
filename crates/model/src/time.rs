//! Points in time, as a parameter of everything that decides.

use alloc::string::{String, ToString};
use core::{fmt, ops, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Milliseconds since the Unix epoch, UTC. Read from a clock only at the rim; the simulation makes
/// it up. On the wire it is RFC 3339 with whole seconds, as Kubernetes' `Time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// From whole seconds since the epoch.
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds since the epoch.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 with whole seconds: `2026-01-02T03:04:05Z`.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.secs()).map_or_else(|_| String::new(), |t| t.to_string())
    }

    /// Parses RFC 3339, fractions kept to the millisecond.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// As the type of k8s-openapi, whole seconds.
    pub fn to_k8s(self) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            jiff::Timestamp::from_second(self.secs()).unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        )
    }
}

/// A part of a time by `chance`, which is even over all numbers: so that many who wait for the same thing do not
/// come together. Chance itself comes from outside.
pub fn part(most: Duration, chance: u32) -> Duration {
    most.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

impl ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time: ".to_string() + &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips() {
        let t = Time::parse_rfc3339("2026-01-02T03:04:05.678Z").unwrap();
        assert_eq!(t.rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(t.0 % 1000, 678);
        assert_eq!(t + Duration::from_secs(1), Time(t.0 + 1000));
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
        assert!(Time::parse_rfc3339("yesterday").is_none());
    }
}

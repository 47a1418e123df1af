//! What a node has and what of it pods may have: capacity, the reserve for the system, and
//! allocatable, in Kubernetes' terms. Pure; the driver measures the machine.
//!
//! `allocatable` is the capacity less the reserve and less what the pressures keep free, as the
//! kubelet counts it.

use std::{collections::BTreeMap, str::FromStr};

use evenkeel_model::Quantity;
use thiserror::Error;

use super::pressure::{memory_mark, space_mark};

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of the disk that containers write to.
    pub storage: u64,
    /// Pods that it takes.
    pub pods: u32,
}

/// What is kept back for everything on the machine that is no pod: the flag `--system-reserved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved {
    /// Thousandths of a cpu.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub storage: u64,
}

/// A reserve that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReservedError {
    /// Not `NAME=QUANTITY`.
    #[error("`{0}` is not NAME=QUANTITY, as cpu=100m or memory=256Mi")]
    Form(String),
    /// An unknown resource.
    #[error("`{0}` cannot be reserved: it is none of cpu, memory, ephemeral-storage")]
    Name(String),
    /// Named twice.
    #[error("`{0}` is reserved twice")]
    Twice(String),
    /// A quantity that cannot be read or is negative.
    #[error("`{text}` is no amount of {name} (as cpu=100m or memory=256Mi)")]
    Amount {
        /// Of what.
        name: String,
        /// As given.
        text: String,
    },
}

impl FromStr for Reserved {
    type Err = ReservedError;

    fn from_str(text: &str) -> Result<Self, ReservedError> {
        let mut reserved = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, amount) = part.split_once('=').ok_or_else(|| ReservedError::Form(part.into()))?;
            if seen.contains(&name) {
                return Err(ReservedError::Twice(name.into()));
            }
            seen.push(name);
            let wrong = || ReservedError::Amount { name: name.into(), text: amount.into() };
            let quantity: Quantity = amount.parse().map_err(|_| wrong())?;
            let positive = |n: i64| u64::try_from(n).map_err(|_| wrong());
            match name {
                "cpu" => reserved.cpu_milli = positive(quantity.milli())?,
                "memory" => reserved.memory = positive(quantity.units())?,
                "ephemeral-storage" => reserved.storage = positive(quantity.units())?,
                _ => return Err(ReservedError::Name(name.into())),
            }
        }
        Ok(reserved)
    }
}

impl Machine {
    /// Kubernetes' `capacity`.
    pub fn capacity(&self) -> BTreeMap<String, String> {
        [
            ("cpu".to_owned(), cpu(self.cpu_milli)),
            ("memory".to_owned(), bytes(self.memory)),
            ("ephemeral-storage".to_owned(), bytes(self.storage)),
            ("pods".to_owned(), self.pods.to_string()),
        ]
        .into()
    }

    /// Kubernetes' `allocatable`.
    pub fn allocatable(&self, reserved: &Reserved) -> BTreeMap<String, String> {
        Self {
            cpu_milli: self.cpu_milli.saturating_sub(reserved.cpu_milli),
            memory: self.memory.saturating_sub(reserved.memory).saturating_sub(memory_mark(self.memory)),
            storage: self.storage.saturating_sub(reserved.storage).saturating_sub(space_mark(self.storage)),
            pods: self.pods,
        }
        .capacity()
    }

    /// Says what is reserved beyond what the machine has: no pod would ever fit.
    pub fn overdrawn(&self, reserved: &Reserved) -> Option<String> {
        let amounts = [
            ("cpu", reserved.cpu_milli, self.cpu_milli, cpu as fn(u64) -> String),
            ("memory", reserved.memory, self.memory, bytes),
            ("ephemeral-storage", reserved.storage, self.storage, bytes),
        ];
        // 0 is a machine that could not be measured yet.
        let beyond = amounts.into_iter().find(|(_, kept, has, _)| *has > 0 && kept >= has);
        beyond.map(|(name, kept, has, show)| {
            format!("--system-reserved keeps back {name}={}, and the machine has {}", show(kept), show(has))
        })
    }
}

fn cpu(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

fn bytes(n: u64) -> String {
    format!("{}Ki", n / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_written_as_the_kubelets_flag() {
        let all: Reserved = "cpu=100m,memory=256Mi, ephemeral-storage=1Gi".parse().unwrap();
        assert_eq!(all, Reserved { cpu_milli: 100, memory: 256 << 20, storage: 1 << 30 });
        assert_eq!("".parse::<Reserved>().unwrap(), Reserved::default());
        assert_eq!("cpu=1.5".parse::<Reserved>().unwrap().cpu_milli, 1500);
        for (wrong, says) in [
            ("cpu", "`cpu` is not NAME=QUANTITY"),
            ("cpu=much", "`much` is no amount of cpu"),
            ("memory=-1Gi", "`-1Gi` is no amount of memory"),
            ("gpu=1", "`gpu` cannot be reserved"),
            ("cpu=1,cpu=2", "`cpu` is reserved twice"),
        ] {
            let error = wrong.parse::<Reserved>().unwrap_err().to_string();
            assert!(error.starts_with(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn allocatable_is_what_is_left_of_the_capacity() {
        let machine = Machine { cpu_milli: 4000, memory: 8 << 30, storage: 100 << 30, pods: 110 };
        let capacity = machine.capacity();
        assert_eq!((capacity["cpu"].as_str(), capacity["memory"].as_str()), ("4", "8388608Ki"));
        let reserved = Reserved { cpu_milli: 100, memory: 256 << 20, storage: 0 };
        let left = machine.allocatable(&reserved);
        assert_eq!(left["cpu"], "3900m");
        assert_eq!(left["memory"], format!("{}Ki", (8 << 20) - 256 * 1024 - 100 * 1024));
        assert_eq!((left["ephemeral-storage"].as_str(), left["pods"].as_str()), ("94371840Ki", "110"));
        let half = Machine { cpu_milli: 1500, ..machine };
        assert_eq!(half.capacity()["cpu"], "1500m");
    }

    #[test]
    fn a_reserve_beyond_the_machine_is_said() {
        let machine = Machine { cpu_milli: 2000, memory: 1 << 30, storage: 0, pods: 110 };
        assert_eq!(machine.overdrawn(&Reserved { cpu_milli: 1999, memory: 1 << 29, storage: 1 << 40 }), None);
        let said = machine.overdrawn(&Reserved { memory: 1 << 30, ..Reserved::default() }).unwrap();
        assert_eq!(said, "--system-reserved keeps back memory=1048576Ki, and the machine has 1048576Ki");
        let none = machine.allocatable(&Reserved { memory: 1 << 40, ..Reserved::default() });
        assert_eq!(none["memory"], "0Ki");
    }
}

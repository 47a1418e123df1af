//! The checks, one file for each thing that can be wrong.

pub(crate) mod budgets;
pub(crate) mod causes;
pub(crate) mod containers;
pub(crate) mod identity;
pub(crate) mod nodes;
pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod workloads;

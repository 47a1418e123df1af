//! Packet rules by nftables.
//!
//! - [`run`] starts `nft` itself, for everyone who needs it.

pub mod run;

pub use run::{Nft, NftError};

//! An error as people read it: what it says and why, on one line.

use alloc::string::{String, ToString};
use core::error::Error;

/// An error with its causes; one that its wrapper repeats is left out.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<alloc::boxed::Box<Layer>>,
    }

    fn layer(text: &'static str, source: Option<Layer>) -> Layer {
        Layer { text, source: source.map(Into::into) }
    }

    #[test]
    fn each_cause_is_said_once() {
        let refused = layer("connection refused", None);
        let wrapped = layer("dial 192.0.2.1: connection refused", Some(refused));
        assert_eq!(causes(&layer("no session", Some(wrapped))), "no session: dial 192.0.2.1: connection refused");
        assert_eq!(causes(&layer("alone", None)), "alone");
    }
}

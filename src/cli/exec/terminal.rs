//! This end's terminal: every key as it comes while a command has it, and as it was before, however
//! that ends.

use std::io::{self, Stdin, Stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A terminal that passes every key on. Dropping it, also in a panic, puts back what was.
pub(super) struct Raw {
    terminal: Stdin,
    before: Termios,
}

impl Raw {
    /// Of standard input, which is a terminal.
    pub(super) fn begin() -> io::Result<Self> {
        let terminal = io::stdin();
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(&self.terminal, OptionalActions::Now, &self.before) {
            eprintln!("warning: the terminal could not be put back ({error}); `stty sane` does");
        }
    }
}

/// Columns and rows of the terminal of standard output, or of standard input.
pub(super) fn size() -> Option<(u16, u16)> {
    let (out, input): (Stdout, Stdin) = (io::stdout(), io::stdin());
    let size = tcgetwinsize(out).or_else(|_| tcgetwinsize(input)).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

//! A container engine of a story's own, so that it can be restarted and killed without any other
//! story noticing: that of a lab's only node. It has no default network.

use evenkeel_lab::Lab;

/// A running engine, with the example's images.
pub struct Engine(Lab);

impl Engine {
    pub fn start(live_restore: bool) -> Self {
        Self(Lab::with_engines(&[live_restore]))
    }

    /// Where it listens, as Evenkeel and `docker` take it.
    pub fn url(&self) -> String {
        self.0.engine(1).url()
    }

    /// Stops it as an upgrade of its package does, and starts it again.
    pub fn restart(&mut self) {
        self.0.engine_stop(1);
        self.0.engine_start(1);
    }

    /// `kill -9`, and a start.
    pub fn crash(&mut self) {
        self.0.engine_kill(1);
        self.0.engine_start(1);
    }
}

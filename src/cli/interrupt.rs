//! Ctrl-C while something runs that can be taken up again: the first press asks it to stop, a second one ends the program
//! at once. A child process is asked by the end of its standard input.

use std::fmt;
use std::io;
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// Exit code of a program that Ctrl-C ended: 128 + SIGINT.
pub(super) const EXIT_CODE: u8 = 130;

/// Nobody watches, so Ctrl-C ends the program.
const IDLE: u8 = 0;
/// Something runs that can be asked to stop.
const WATCHED: u8 = 1;
/// It was asked to.
const REQUESTED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// What was under way was stopped by Ctrl-C; the message says what is kept and how to go on.
#[derive(Debug)]
pub(super) struct Interrupted(pub(super) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// While this lives, Ctrl-C is a request.
#[derive(Debug)]
pub(super) struct Watch(());

/// Takes Ctrl-C for a request from now on. Where the handler cannot be installed, Ctrl-C ends the program as before.
pub(super) fn watch() -> Watch {
    // an error means that there is a handler already: this one
    let _ = ctrlc::set_handler(|| match request() {
        WATCHED => eprintln!("stopping after this step; press Ctrl-C again to stop at once"),
        _ => exit(),
    });
    STATE.store(WATCHED, Ordering::SeqCst);
    Watch(())
}

/// Takes the end of standard input for Ctrl-C, once: whoever started this program has stopped, or wants it to stop.
pub(super) fn stop_with_input() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        if request() == IDLE {
            exit();
        }
    });
}

/// Asks what is watched to stop; returns the state before.
fn request() -> u8 {
    let asked = STATE.compare_exchange(WATCHED, REQUESTED, Ordering::SeqCst, Ordering::SeqCst);
    asked.unwrap_or_else(|state| state)
}

#[expect(
    clippy::exit,
    reason = "for handlers with threads of their own, which nothing waits for"
)]
fn exit() -> ! {
    process::exit(EXIT_CODE.into())
}

impl Watch {
    /// Whether Ctrl-C was pressed.
    pub(super) fn is_requested(&self) -> bool {
        STATE.load(Ordering::SeqCst) == REQUESTED
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        STATE.store(IDLE, Ordering::SeqCst);
    }
}

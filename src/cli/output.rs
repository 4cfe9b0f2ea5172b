//! What the program says: results on standard output, notes and progress on standard error.

use std::fmt;
use std::io::{ErrorKind, Write};

use anyhow::Result;

use destseg_engine::Error;

/// The other end of standard output is closed: nobody reads on, as behind `| head -1`.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Writes a result to standard output.
///
/// # Errors
/// [`Closed`] where nobody reads on, which ends the program without a message, and [`Error::Io`] where it cannot be
/// written.
pub(super) fn show(text: &str) -> Result<()> {
    write(&mut std::io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> Result<()> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        written => Ok(written.map_err(Error::io("write", "standard output"))?),
    }
}

/// `eprintln!` of the standard library, but without its panic where standard error is closed: a training whose log nobody
/// reads any more goes on. It takes the other's name, so that all modules of the command line use it.
macro_rules! eprintln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with an error of this kind.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let closed = write(&mut Broken(ErrorKind::BrokenPipe), "text").expect_err("fails");
        assert!(closed.is::<Closed>(), "{closed}");
        let full = write(&mut Broken(ErrorKind::StorageFull), "text").expect_err("fails");
        assert_eq!(
            full.to_string(),
            "cannot write standard output: there is no room left on the disk; free some and run again"
        );
        let mut text = Vec::new();
        write(&mut text, "text").expect("writes");
        assert_eq!(text, b"text");
    }
}

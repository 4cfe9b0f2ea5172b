//! Reading what stands behind a command.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// The options and other words behind a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    options: BTreeMap<String, String>,
    words: Vec<String>,
}

impl Arguments {
    /// Reads `flags`, options with a value (`valued`) and at most `words` other words.
    ///
    /// # Errors
    /// One sentence about an argument that this command does not take.
    pub fn parse(arguments: &[String], flags: &[&str], valued: &[&str], words: usize) -> Result<Self> {
        let mut parsed = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let name = argument.as_str();
            if flags.contains(&name) {
                parsed.options.insert(argument.clone(), String::new());
            } else if valued.contains(&name) {
                let value = arguments.next();
                let value = value.with_context(|| format!("`{argument}` needs a value behind it"))?;
                parsed.options.insert(argument.clone(), value.clone());
            } else if name.starts_with('-') {
                bail!("`{argument}` is not an option of this command: see `cargo xtask help`");
            } else if parsed.words.len() == words {
                bail!("`{argument}` is one argument too many: see `cargo xtask help`");
            } else {
                parsed.words.push(argument.clone());
            }
        }
        Ok(parsed)
    }

    /// Whether the option is there.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// The value of an option.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// The value of an option as a number; `default` without the option.
    ///
    /// # Errors
    /// If it is no number, or one that is too large.
    pub fn number<T: FromStr>(&self, option: &str, default: T) -> Result<T> {
        let Some(text) = self.value(option) else {
            return Ok(default);
        };
        let number = text.parse().ok();
        number.with_context(|| format!("`{text}` cannot stand behind {option}: give a whole number"))
    }

    /// The first word that is no option.
    pub fn word(&self) -> Option<&str> {
        self.words.first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, flags: &[&str], valued: &[&str], words: usize) -> Result<Arguments> {
        let arguments: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&arguments, flags, valued, words)
    }

    #[test]
    fn options_are_read_and_strangers_refused() {
        let parsed = parse("--port 81 site --quiet", &["--quiet"], &["--port"], 1).expect("parses");
        assert_eq!(parsed.number("--port", 80_u16).expect("a number"), 81);
        assert_eq!(parsed.word(), Some("site"));
        assert!(parsed.has("--quiet") && !parsed.has("--loud"));
        assert!(parse("--port", &[], &["--port"], 0).is_err());
        assert!(parse("--out x", &[], &["--port"], 1).is_err());
        assert!(parse("one two", &[], &[], 1).is_err());
        let many = parse("--port many", &[], &["--port"], 0).expect("parses");
        assert!(many.number("--port", 80_u16).is_err());
        assert_eq!(many.number("--rounds", 3).expect("the default"), 3);
    }
}

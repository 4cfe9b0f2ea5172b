//! `cargo xtask cli-docs`: the help of every subcommand in `docs/cli.md`, as the program prints it.
//!
//! Each has a section `## destseg SUBCOMMAND`, whose first fence of `text` is the help. The list of sections is written, too.
//! All else in the document is written by hand. `tests/cli.rs` compares both.

use std::fs;
use std::ops::Range;

use anyhow::{Context as _, Result};

use crate::process::{self, root};

/// The document, in the project's folder.
pub const DOCUMENT: &str = "docs/cli.md";
/// Columns of the help: what the program takes where it writes into no terminal.
pub const COLUMNS: &str = "100";

const FENCE: &str = "```text\n";
const FENCE_END: &str = "\n```";

/// Writes all sections anew.
///
/// # Errors
/// If the program cannot be built or the document cannot be written.
pub fn write() -> Result<()> {
    let path = root().join(DOCUMENT);
    let mut document =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let help = help_of(&[])?;
    document = with_help(&document, "", &help);
    for subcommand in subcommands(&help) {
        document = with_help(&document, subcommand, &help_of(&[subcommand])?);
    }
    document = with_contents(&document);
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// What the program says to `--help` behind these arguments.
fn help_of(arguments: &[&str]) -> Result<String> {
    let mut command = process::command("cargo");
    command
        .args(["run", "--quiet", "--release", "--bin", "destseg", "--"])
        .args(arguments)
        .arg("--help")
        .env("COLUMNS", COLUMNS);
    process::output(&mut command)
}

/// The subcommands that the program's help lists, without `help` itself.
pub fn subcommands(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // what is indented further goes on with the line before
    list.take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

/// The subcommands that the document has a section for.
pub fn sections(document: &str) -> Vec<&str> {
    let headings = document
        .lines()
        .filter_map(|line| line.strip_prefix("## destseg "));
    headings.collect()
}

/// The help in a subcommand's section, or of the program itself for an empty name; none if there is no such section or fence.
pub fn documented<'a>(document: &'a str, subcommand: &str) -> Option<&'a str> {
    Some(&document[place(document, subcommand)?])
}

/// The document with this help in the subcommand's section, which comes last if it is new.
fn with_help(document: &str, subcommand: &str, help: &str) -> String {
    let help = help.trim_end();
    match place(document, subcommand) {
        Some(place) => format!("{}{help}{}", &document[..place.start], &document[place.end..]),
        None => format!(
            "{}\n\n{}\n\n{FENCE}{help}{FENCE_END}\n",
            document.trim_end(),
            heading(subcommand)
        ),
    }
}

/// The document with a line for each section in its list of them.
pub fn with_contents(document: &str) -> String {
    const LINE: &str = "- [destseg";
    let is_entry = |line: &&str| line.starts_with(LINE);
    let headings = document.lines().filter_map(|line| line.strip_prefix("## "));
    let entries = headings.map(|name| format!("- [{name}](#{})\n", name.replace(' ', "-")));
    let lines: Vec<&str> = document.split_inclusive('\n').collect();
    let start = lines.iter().position(is_entry).unwrap_or(lines.len());
    let after = start
        + lines[start..]
            .iter()
            .copied()
            .take_while(|line| is_entry(line))
            .count();
    let entries = entries.filter(|_| start < after);
    [
        lines[..start].concat(),
        entries.collect(),
        lines[after..].concat(),
    ]
    .concat()
}

fn heading(subcommand: &str) -> String {
    format!("## destseg {subcommand}").trim_end().to_owned()
}

/// Where a subcommand's help stands.
fn place(document: &str, subcommand: &str) -> Option<Range<usize>> {
    let section = document.find(&format!("{}\n", heading(subcommand)))?;
    let text = &document[section..];
    let text = &text[..text.find("\n## ").unwrap_or(text.len())];
    let start = text.find(FENCE)? + FENCE.len();
    let end = start + text[start..].find(FENCE_END)?;
    Some(section + start..section + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Inspects.\n\nUsage: destseg <COMMAND>\n\nCommands:\n  train      Train a model\n             for long\n  \
                        demo-data  Draw\n  help       Print\n\nOptions:\n  -h  Help\n";
    const PAGE: &str = "# Commands\n\n## destseg train\n\nTrains.\n\n```sh\ndestseg train --data d\n```\n\n```text\nold\nhelp\n\
                        ```\n\n## destseg demo-data\n\nDraws.\n";

    #[test]
    fn subcommands_are_those_of_the_list() {
        assert_eq!(subcommands(HELP), ["train", "demo-data"]);
    }

    #[test]
    fn help_is_found_in_its_own_section() {
        assert_eq!(documented(PAGE, "train"), Some("old\nhelp"));
        assert_eq!(documented(PAGE, "demo-data"), None);
        assert_eq!(documented(PAGE, "demo"), None);
        assert_eq!(
            documented("## destseg a\n\n## destseg b\n```text\nb\n```\n", "a"),
            None
        );
    }

    #[test]
    fn sections_are_those_of_subcommands() {
        assert_eq!(sections(PAGE), ["train", "demo-data"]);
        let page = with_help(PAGE, "", HELP);
        assert_eq!(documented(&page, ""), Some(HELP.trim_end()));
        assert_eq!(sections(&page), ["train", "demo-data"]);
    }

    #[test]
    fn contents_list_every_section() {
        let page = "# Commands\n\n- [destseg eval](#destseg-eval)\n\n## destseg\n\n## destseg demo-data\n";
        assert_eq!(
            with_contents(page),
            "# Commands\n\n- [destseg](#destseg)\n- [destseg demo-data](#destseg-demo-data)\n\n## destseg\n\n## destseg \
             demo-data\n"
        );
        assert_eq!(
            with_contents(PAGE),
            PAGE,
            "without a list there is nothing to write"
        );
    }

    #[test]
    fn only_the_help_is_replaced() {
        let page = with_help(PAGE, "train", "new\n\n");
        assert_eq!(page, PAGE.replace("old\nhelp", "new"));
        let page = with_help(&page, "eval", "measures\n");
        assert_eq!(documented(&page, "eval"), Some("measures"));
        assert!(page.starts_with("# Commands\n\n## destseg train\n\nTrains."));
    }
}

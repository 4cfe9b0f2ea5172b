//! The plan of the source tree, as a test: who may import whom, and how large the entrance may grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::page::files;
use crate::process::root;

const ENGINE: &str = "crates/engine/src";
/// Most entries of the root package's `src`, and most features of it, `default` included.
const MOST_ENTRIES: usize = 8;
const MOST_FEATURES: usize = 7;
/// Most lines of the documents that everybody reads.
const MOST_LINES: usize = 150;
/// What the engine must not know: the package that uses it, and that package's parts.
const ABOVE_THE_ENGINE: [&str; 4] = ["protocol", "page", "cli", "worker"];

/// A source file without comments and the contents of its strings.
struct Source {
    path: PathBuf,
    code: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let paths = files(&root().join(folder)).expect("lists");
    let rust = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| Source {
        code: code(&fs::read_to_string(&path).expect("reads")),
        path,
    })
    .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The text without comments, and with nothing in its strings and characters.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end_of = |from: usize, end: &str| {
            let found = rest[from..].find(end);
            found.map_or(rest.len(), |place| from + place + end.len())
        };
        let hashes = rest.strip_prefix('r').map_or(0, |raw| {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                hashes + 1
            } else {
                0
            }
        });
        let in_name = code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            end_of(2, "*/")
        } else if hashes > 0 && !in_name {
            end_of(hashes + 1, &format!("\"{}", "#".repeat(hashes - 1)))
        } else if first == '"' {
            let mut escaped = false;
            let closing = rest.char_indices().skip(1).find(|&(_, letter)| {
                let closes = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                closes
            });
            closing.map_or(rest.len(), |(place, _)| place + 1)
        } else if first == '\'' {
            // a character and no lifetime
            let mut letters = rest.char_indices().skip(1);
            match (letters.next(), letters.next()) {
                (Some((_, '\\')), Some((place, letter))) => end_of(place + letter.len_utf8(), "'"),
                (Some(_), Some((place, '\''))) => place + 1,
                _ => 0,
            }
        } else {
            0
        };
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push_str(if rest.starts_with('/') { " " } else { "\"\"" });
            rest = &rest[length..];
        }
    }
    code
}

/// The place behind the bracket that closes the one at `open`.
fn closed(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (place, letter) in code[open..].char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + place + letter.len_utf8();
        }
    }
    code.len()
}

/// The code without items for tests.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(place) = rest.find(MARK) {
        kept.push_str(&rest[..place]);
        let item = &rest[place + MARK.len()..];
        let end = item.find([';', '{']).unwrap_or(item.len());
        let end = if item[end..].starts_with('{') {
            closed(item, end)
        } else {
            (end + 1).min(item.len())
        };
        rest = &item[end..];
    }
    kept + rest
}

fn is_for_tests(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem == "tests" || stem.ends_with("_tests") || stem == "test_support"
}

/// What follows `prefix` in paths and `use` groups, as first names.
fn names_behind<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (place, _) in code.match_indices(prefix) {
        let before = code[..place].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || "_:".contains(letter)) {
            continue;
        }
        let start = place + prefix.len();
        let parts = match code[start..].strip_prefix('{') {
            Some(_) => top_level(&code[start + 1..closed(code, start) - 1]),
            None => vec![&code[start..]],
        };
        names.extend(parts.into_iter().map(first_name));
    }
    names
}

fn first_name(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The parts between commas that stand in no inner brackets.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, letter) in list.char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Which top module of the engine imports which, and a file that does.
fn imports() -> BTreeMap<(String, String), String> {
    let top = root().join(ENGINE);
    let mut imports = BTreeMap::new();
    for source in sources(ENGINE) {
        let inner = source.path.strip_prefix(&top).expect("is inside");
        let module = |path: &Path| path.with_extension("").display().to_string();
        let from = inner
            .iter()
            .next()
            .map(Path::new)
            .map(module)
            .expect("has a name");
        if from == "lib" || is_for_tests(&source.path) {
            continue;
        }
        let code = without_tests(&source.code);
        // modules between this file and the crate
        let depth = inner.iter().count() - usize::from(inner.ends_with("mod.rs"));
        let up = "super::".repeat(depth);
        for to in names_behind(&code, "crate::")
            .into_iter()
            .chain(names_behind(&code, &up))
        {
            let is_module = top.join(to).is_dir() || top.join(format!("{to}.rs")).is_file();
            if is_module && to != from {
                let edge = (from.clone(), to.to_owned());
                imports.entry(edge).or_insert_with(|| shown(&source.path));
            }
        }
    }
    imports
}

#[test]
fn modules_of_the_engine_import_each_other_in_no_cycle() {
    let imports = imports();
    assert!(!imports.is_empty(), "{ENGINE} has no imports");
    let reached_from = |start: &str| {
        let (mut reached, mut pending) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(module) = pending.pop() {
            for (from, to) in imports.keys() {
                if *from == module && reached.insert(to.clone()) {
                    pending.push(to.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = imports
        .keys()
        .map(|(from, _)| (from, reached_from(from)))
        .collect();
    let in_cycles: Vec<String> = imports
        .iter()
        .filter(|((from, to), _)| reached.get(to).is_some_and(|back| back.contains(from)))
        .map(|((from, to), file)| format!("{from} imports {to} ({file})"))
        .collect();
    assert!(
        in_cycles.is_empty(),
        "these go round in circles:\n{}",
        in_cycles.join("\n")
    );
}

#[test]
fn the_engine_does_not_know_what_uses_it() {
    let mut found = Vec::new();
    for source in sources(ENGINE) {
        for (place, _) in source.code.match_indices("::") {
            let name = source.code[..place]
                .rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next()
                .unwrap_or_default();
            if ABOVE_THE_ENGINE.contains(&name) {
                found.push(format!("{} has `{name}::`", shown(&source.path)));
            }
        }
    }
    let manifest = fs::read_to_string(root().join("crates/engine/Cargo.toml")).expect("reads");
    if manifest
        .lines()
        .any(|line| line.starts_with("destseg ") || line.starts_with("destseg."))
    {
        found.push("crates/engine/Cargo.toml depends on destseg".into());
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_entrance_stays_small() {
    let entries = fs::read_dir(root().join("src")).expect("lists").count();
    assert!(
        entries <= MOST_ENTRIES,
        "src has {entries} entries, at most {MOST_ENTRIES} are allowed"
    );
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("reads");
    let features: Vec<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once(" = [")?.0))
        .collect();
    assert!(features.contains(&"default"), "{features:?}");
    assert!(
        features.len() <= MOST_FEATURES,
        "{} features, at most {MOST_FEATURES} are allowed: {features:?}",
        features.len()
    );
}

#[test]
fn documents_that_everybody_reads_stay_short() {
    let mut long = Vec::new();
    for name in ["README.md", "ARCHITECTURE.md"] {
        let lines = fs::read_to_string(root().join(name))
            .expect("reads")
            .lines()
            .count();
        if lines > MOST_LINES {
            long.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(
        long.is_empty(),
        "at most {MOST_LINES} are allowed: {}",
        long.join(", ")
    );
}

/// The patterns of a `match`, by the code between its braces.
fn patterns(body: &str) -> Vec<&str> {
    let mut patterns = Vec::new();
    let (mut depth, mut start, mut place) = (0, 0, 0);
    while let Some(letter) = body[place..].chars().next() {
        if depth == 0 && body[place..].starts_with("=>") {
            patterns.push(body[start..place].trim());
            let arm = place + 2;
            let braced = body[arm..].trim_start().starts_with('{');
            // an arm ends with its braces, or with the next comma
            place = if braced {
                closed(body, arm + body[arm..].find('{').unwrap_or_default())
            } else {
                arm + top_level(&body[arm..])[0].len()
            };
            place += usize::from(body[place..].starts_with(','));
            start = place;
            continue;
        }
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        place += letter.len_utf8();
    }
    patterns
}

/// Whether the code matches on a method of inspection and has an arm for all others.
fn has_wildcard_over_methods(code: &str) -> bool {
    const PACKED: [&str; 2] = ["Stored", "Deflated"];
    code.match_indices("match ").any(|(place, _)| {
        let Some(open) = code[place..].find('{').map(|open| place + open) else {
            return false;
        };
        let body = &code[open + 1..closed(code, open).saturating_sub(1).max(open + 1)];
        let patterns = patterns(body);
        let names_a_method = |pattern: &str| {
            let mut names = pattern.split("Method::").skip(1).map(first_name);
            names.any(|name| !PACKED.contains(&name))
        };
        patterns.contains(&"_") && patterns.iter().any(|pattern| names_a_method(pattern))
    })
}

#[test]
fn every_match_over_methods_names_them_all() {
    let mut found = Vec::new();
    for source in ["src", ENGINE].into_iter().flat_map(sources) {
        if has_wildcard_over_methods(&source.code) {
            found.push(shown(&source.path));
        }
    }
    assert!(
        found.is_empty(),
        "a `_ =>` stands beside `Method::` in these files, so a new method would be taken for another:\n{}",
        found.join("\n")
    );
}

mod own {
    use super::*;

    #[test]
    fn comments_strings_and_tests_are_no_code() {
        let text = "use crate::a; // crate::b\n/* crate::c */ let s = \"crate::d \\\" {\"; let r = r#\"}\"#; let c = '{'; \
                    fn f<'a>() {}\n#[cfg(test)]\nmod tests { use crate::e; }\n#[cfg(test)]\nmod more;\nuse crate::{f::{g, h}, i};";
        let code = without_tests(&code(text));
        assert_eq!(names_behind(&code, "crate::"), ["a", "f", "i"]);
        assert_eq!(code.matches('{').count(), code.matches('}').count(), "{code}");
    }

    #[test]
    fn wildcards_over_methods_are_found() {
        let all =
            "match m { Method::A => 1, Method::B if x => { match y { _ => 2 } } Method::C => f(|_| 3) }";
        assert!(!has_wildcard_over_methods(all));
        assert!(has_wildcard_over_methods(
            "match m { Method::A => g(1, 2), _ => 3 }"
        ));
        assert!(has_wildcard_over_methods(
            "match (a, m) { (_, Method::A) => { 1 } _ => 3 }"
        ));
        assert!(!has_wildcard_over_methods(
            "match m { Method::Stored => 1, _ => 3 }"
        ));
    }
}

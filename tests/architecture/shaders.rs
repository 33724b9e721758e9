//! The three kinds of WGSL files, and what the files of an axis have in common.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{
    File, bracketed, expect_none, files_below, folder_of, identifier, in_identifier, strings, words,
};

/// Answers that declare names for answers of other axes, because they are only chosen together.
const TOGETHER: &[(&str, &[&str])] = &[(
    "shaders/conv/direct/invocation/subgroup.wgsl",
    &[
        "shaders/conv/direct/weight_loads/shared.wgsl",
        "shaders/conv/direct/gradient_loads/shared.wgsl",
    ],
)];

/// Every use of `wgsl!` in `src/`: its place, and one string for a file, two for an answer.
fn named_in_src() -> Vec<(String, Vec<String>)> {
    let mut named = Vec::new();
    for file in files_below("src", &["rs"]) {
        let code = file.code();
        for (start, call) in code.match_indices("wgsl!(") {
            let arguments = bracketed(&code[start + call.len() - 1..]);
            named.push((file.at(start), strings(arguments).map(str::to_owned).collect()));
        }
    }
    named
}

/// Folders of answers as `src/` names them, `wgsl!("folder", "answer")`: the files of each, with
/// the place where it is named.
fn axes() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut axes: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (place, arguments) in named_in_src() {
        if let [axis, answer] = &arguments[..] {
            axes.entry(format!("shaders/{axis}"))
                .or_default()
                .insert(format!("{answer}.wgsl"), place);
        }
    }
    assert!(axes.len() > 10, "only {} axes are named in src/", axes.len());
    axes
}

/// All names that a WGSL text declares at its top level.
fn declared(code: &str) -> BTreeSet<&str> {
    const KEYWORDS: [&str; 6] = ["fn", "const", "override", "alias", "struct", "var"];
    let mut names = BTreeSet::new();
    let (mut depth, mut before) = (0_i32, ' ');
    for (i, c) in code.char_indices() {
        let word = identifier(&code[i..]);
        if depth == 0 && !in_identifier(before) && KEYWORDS.contains(&word) {
            let mut rest = &code[i + word.len()..];
            if word == "var" && rest.starts_with('<') {
                rest = &rest[rest.find('>').map_or(0, |end| end + 1)..];
            }
            names.insert(identifier(rest.trim_start()));
        }
        depth += i32::from("({[".contains(c)) - i32::from(")}]".contains(c));
        before = c;
    }
    names
}

/// Names that comments say to come from the header of a kernel, where the host writes constants.
fn from_header(file: &File) -> BTreeSet<&str> {
    let mut announced = false;
    let mut names = BTreeSet::new();
    for (line, comment) in file.comments() {
        // A paragraph ends where a line has no comment.
        let goes_on = line > 1 && file.text.lines().nth(line - 2).unwrap().starts_with("//");
        let start = comment.find("From the header:");
        announced = start.is_some() || (announced && goes_on);
        let text = if announced { &comment[start.unwrap_or_default()..] } else { "" };
        let is_constant = |word: &&str| {
            word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        };
        names.extend(text.split(|c| !in_identifier(c)).filter(is_constant));
    }
    names
}

/// Whether a text uses a name that it declares nowhere itself, be it as a member or in a function.
fn uses(code: &str, name: &str) -> bool {
    let own = words(code, name).any(|i| {
        let before = code[..i].trim_end();
        let keyword = before.rsplit(|c| !in_identifier(c)).next().unwrap_or_default();
        let is_typed = code[i + name.len()..].trim_start().starts_with(':');
        is_typed || ["let", "var", "const"].contains(&keyword)
    });
    let mut places = words(code, name);
    !own && !declared(code).contains(name) && places.any(|i| !code[..i].ends_with('.'))
}

/// Every name that the files declare, with the paths of those that do.
fn owners<'a>(files: &[&'a File]) -> BTreeMap<String, Vec<&'a str>> {
    let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in files {
        for name in declared(&file.code()) {
            owners.entry(name.to_owned()).or_default().push(&file.path);
        }
    }
    owners
}

/// Whether files at both paths may go into one shader: those of two families never do.
fn are_joined(one: &str, other: &str) -> bool {
    let family = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    let (one, other) = (family(one), family(other));
    one == other || one == "common" || other == "common"
}

fn are_chosen_together(owners: &[&str], user: &str) -> bool {
    TOGETHER.iter().any(|(owner, users)| owners == [*owner] && users.contains(&user))
}

#[test]
fn the_files_of_an_axis_are_those_that_src_names() {
    let (axes, mut offenders) = (axes(), Vec::new());
    for (axis, answers) in &axes {
        let files = files_below(axis, &["wgsl"]);
        let present: Vec<&str> = files.iter().map(|file| &file.path[axis.len() + 1..]).collect();
        for (answer, place) in answers.iter().filter(|(answer, _)| !present.contains(&&***answer)) {
            offenders.push(format!("{place}: there is no {axis}/{answer}"));
        }
        for answer in present.iter().filter(|&&answer| !answers.contains_key(answer)) {
            offenders.push(format!("{axis}/{answer}:1: nothing in src/ names it"));
        }
    }
    for (place, arguments) in named_in_src() {
        if let [path] = &arguments[..]
            && axes.contains_key(folder_of(&format!("shaders/{path}")))
        {
            offenders.push(format!("{place}: names {path} of an axis as if it always went in"));
        }
    }
    expect_none(
        "A folder that asks a question holds its answers and nothing else. Name the file by \
         wgsl!(\"folder\", \"answer\") in the enum of the axis, or put it elsewhere:",
        &offenders,
    );
}

#[test]
fn parts_have_no_entry_point_and_kernels_have_one() {
    let axes = axes();
    let mut offenders = Vec::new();
    for file in files_below("shaders", &["wgsl"]) {
        let folder = folder_of(&file.path);
        let is_common = folder.split('/').any(|part| part == "common");
        let code = file.code();
        match code.find("@compute") {
            Some(start) if is_common || axes.contains_key(folder) => {
                let place = file.at(start);
                offenders.push(format!("{place}: an entry point in a part; move it to a kernel"));
            }
            None if !is_common && !axes.contains_key(folder) => {
                let place = file.at(0);
                offenders.push(format!(
                    "{place}: no entry point; move the file into a folder `common`, or into an axis"
                ));
            }
            _ => {}
        }
    }
    expect_none(
        "The place of a WGSL file says whether it is a part (in `common` or in an axis) or a \
         kernel (anywhere else); see shaders/README.md:",
        &offenders,
    );
}

#[test]
fn the_files_of_an_axis_declare_the_same_names_as_far_as_others_use_them() {
    let files = files_below("shaders", &["wgsl"]);
    let mut offenders = Vec::new();
    for axis in axes().keys() {
        let (inside, outside): (Vec<&File>, Vec<&File>) =
            files.iter().partition(|file| folder_of(&file.path) == axis);
        for (name, owners) in owners(&inside) {
            let lacks = |file: &&&File| {
                !owners.contains(&&*file.path) && !from_header(file).contains(&*name)
            };
            let lacking: Vec<&&File> = inside.iter().filter(lacks).collect();
            let used = outside.iter().filter(|user| {
                are_joined(&user.path, axis)
                    && !are_chosen_together(&owners, &user.path)
                    && uses(&user.code(), &name)
            });
            for user in used {
                let first = words(&user.code(), &name).next().unwrap_or_default();
                let (user, owners) = (user.at(first), owners.join(", "));
                offenders.extend(lacking.iter().map(|file| {
                    format!(
                        "{}:1: lacks `{name}`, which {user} uses and which is in {owners}",
                        file.path
                    )
                }));
            }
        }
    }
    expect_none(
        "A kernel is written once for all answers to a question, so these must declare the same \
         names. Declare the name in every file of the axis, or use it in none outside:",
        &offenders,
    );
}

#[test]
fn answers_that_serve_another_axis_are_still_used_by_it() {
    let mut offenders = Vec::new();
    for (owner, users) in TOGETHER {
        let declaring = File::read(owner).code();
        for user in *users {
            let using = File::read(user).code();
            if !declared(&declaring).iter().any(|name| uses(&using, name)) {
                offenders.push(format!("{user} uses nothing that {owner} declares"));
            }
        }
    }
    expect_none("Take these out of TOGETHER in tests/architecture/shaders.rs:", &offenders);
}

#[test]
fn declarations_are_found_at_the_top_level_only() {
    let code = "enable f16;\n@group(0) @binding(1) var<storage, read> w: array<S>;\n\
                alias A = f32;\nstruct S { const_of: u32 }\n@id(1) override N: u32;\n\
                fn f(a: u32) { let b = 1; var c = 2; }";
    assert_eq!(declared(code).into_iter().collect::<Vec<_>>(), ["A", "N", "S", "f", "w"]);
}

#[test]
fn a_name_is_used_where_nothing_of_the_file_declares_it() {
    assert!(uses("let x = f(1);", "f"));
    for own in ["fn f() {}", "a.f = 1;", "let f = 1; g(f);", "struct S { f: u32 }"] {
        assert!(!uses(own, "f"), "{own}");
    }
    let text = "// From the header: ONE,\n// TWO (2 or more).\n\n// Not THREE.\n".to_owned();
    let file = File { path: "x.wgsl".to_owned(), text };
    assert_eq!(from_header(&file).into_iter().collect::<Vec<_>>(), ["ONE", "TWO"]);
}

//! What compose, the Dockerfile and `cargo x up` set is what the programs read: a setting that was renamed in one place
//! only would be ignored without a word in the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

type Names = BTreeSet<String>;

/// Crates whose settings are part of every program's.
const SHARED: [&str; 2] = ["ops", "chat-store"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned()).expect("a file of the project can be read")
}

/// The variables that the sources of `package` read: what clap's derive is told as `env = "NAME"`.
fn read_by_crate(package: &str) -> Names {
    let mut names = Names::new();
    let mut folders = vec![root().join(package).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources can be read") {
            let path = entry.expect("a folder of sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a source can be read");
                names
                    .extend(text.split("env = \"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    // Its allocator reads this one.
    if read(&format!("{package}/Cargo.toml")).contains("mimalloc") {
        names.insert("MIMALLOC_PURGE_DELAY".to_owned());
    }
    names
}

/// The variables that the program `package` reads.
fn read_by_program(package: &str) -> Names {
    let names: Names = SHARED.into_iter().chain([package]).flat_map(read_by_crate).collect();
    assert!(names.contains("TIMINGLE_ENV"), "the sources of {package} tell their settings in another way now");
    names
}

/// The program a service of compose runs; `None` for an image that is not ours.
fn program_of(service: &str) -> Option<&str> {
    match service {
        "api" | "gateway" | "chat-worker" => Some(service),
        "migrate" => Some("chat-worker"),
        _ => None,
    }
}

/// The variables each service of compose.yaml sets; those of the common block are under `x-settings`.
fn set_by_compose() -> BTreeMap<String, Names> {
    let mut set: BTreeMap<String, Names> = BTreeMap::new();
    let mut service = String::new();
    for line in read("docker/compose.yaml").lines().filter(|line| !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim().split_once(':') else { continue };
        if indent == 0 || (indent == 2 && service != "x-settings" && !is_variable(key)) {
            key.clone_into(&mut service);
        } else if is_variable(key) {
            set.entry(service.clone()).or_default().insert(key.to_owned());
        }
    }
    set
}

fn is_variable(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_uppercase())
        && key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn compose_sets_what_the_programs_read() {
    let set = set_by_compose();
    let common = &set["x-settings"];
    assert!(common.contains("DATABASE_URL"), "compose.yaml is written in another way now: {set:?}");
    for service in ["api", "gateway", "chat-worker", "migrate"] {
        let known = read_by_program(program_of(service).unwrap());
        let unknown: Vec<_> = set[service].union(common).filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty(), "compose sets {unknown:?} for {service}, which reads none of them");
    }
}

#[test]
fn compose_sets_for_other_images_what_those_know() {
    let conf = read("docker/nats.conf");
    for (service, names) in set_by_compose() {
        for name in names {
            let is_known = match service.as_str() {
                "postgres" => ["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"].contains(&name.as_str()),
                "nats" => conf.contains(&format!("password: ${name}\n")),
                "nats-box" => name == "NATS_URL",
                ours => ours == "x-settings" || program_of(ours).is_some(),
            };
            assert!(is_known, "compose sets {name} for {service}, which does not know it");
        }
    }
}

#[test]
fn the_images_set_what_their_programs_read() {
    let mut target = String::new();
    for line in read("docker/Dockerfile").lines() {
        if let Some((_, name)) = line.split_once(" AS ") {
            name.clone_into(&mut target);
        }
        let Some(program) = program_of(&target) else { continue };
        let known = read_by_program(program);
        for assignment in line.strip_prefix("ENV ").unwrap_or_default().split_whitespace() {
            let (name, _) = assignment.split_once('=').unwrap();
            assert!(known.contains(name), "the image {target} sets {name}, which the program does not read");
        }
    }
    assert_eq!(target, "chat-worker", "the Dockerfile has other targets now");
}

#[test]
fn cargo_x_up_sets_what_the_programs_read() {
    let known: Names = SHARED.into_iter().chain(["api", "gateway", "chat-worker"]).flat_map(read_by_crate).collect();
    let source = read("scripts/src/stack/service.rs");
    let set: Names = source
        .split("set(")
        .filter_map(|rest| rest.split_once('"').filter(|(before, _)| before.ends_with("settings, ")))
        .filter_map(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(set.contains("JWKS_URL"), "service.rs is written in another way now: {set:?}");
    let unknown: Vec<_> = set.difference(&known).collect();
    assert!(unknown.is_empty(), "cargo x up sets {unknown:?}, which no program reads");
}

//! Nothing but this module changes the files of a vault, and what it does is told as it was done.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use super::*;

/// What changes a file system, or brings it to the medium.
const CHANGES: [&str; 18] = [
    "unlinkat(",
    "mkdirat(",
    "renameat",
    "linkat(",
    "symlinkat(",
    "ftruncate(",
    "set_len(",
    "fsync(",
    "syncfs(",
    "sync_all(",
    "sync_data(",
    "create_dir(",
    "remove_file(",
    "remove_dir(",
    "remove_dir_all(",
    "fs::write(",
    "fs::rename(",
    "OpenOptions",
];

/// Software tokens are cards, logs are for tests, a drill makes and removes the directory that it plays in, and a credential is
/// written outside of every vault.
const ELSEWHERE: [&str; 5] =
    ["fault.rs", "token/trace.rs", "token/soft/source.rs", "cli/drill.rs", "ceremony/reveal/new_file.rs"];

#[test]
fn nothing_else_changes_files() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![source.clone()];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if name != "vault/disk.rs"
                && !name.ends_with("tests.rs")
                && !name.contains("/tests/")
                && !ELSEWHERE.contains(&&*name)
            {
                let text = std::fs::read_to_string(&path).unwrap();
                // Tests at the end of a file make what they like.
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.extend(
                    CHANGES.iter().filter(|change| code.contains(**change)).map(|change| format!("{name}: {change}")),
                );
            }
        }
    }
    assert!(found.is_empty(), "these go through vault/disk.rs: {found:?}");
}

#[test]
fn operations_are_told_as_they_were_done() {
    let dir = tempfile::tempdir().unwrap();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let listening = journal::listen({
        let (heard, root) = (heard.clone(), dir.path().to_owned());
        move |operation| heard.borrow_mut().push(format!("{operation:?}").replace(root.to_str().unwrap(), ""))
    });
    let root = Directory::open(dir.path()).unwrap();
    root.make("a").unwrap();
    let a = root.below("a").unwrap();
    let mut file = a.create("b.part", 0o644).unwrap();
    file.write_all(b"xyz").unwrap();
    file.sync(Sync::Contents).unwrap();
    assert_eq!(a.create("b.part", 0o644).unwrap_err(), Errno::EXIST);
    a.rename("b.part", "b").unwrap();
    a.create("c", 0o644).unwrap();
    assert_eq!(a.rename("c", "b").unwrap_err(), Errno::EXIST, "a name that is taken is not taken again");
    a.sync(Sync::Name).unwrap();
    assert!(a.remove("c").unwrap() && !a.remove("c").unwrap());
    create_file(&dir.path().join("d"), 0o600).unwrap().give().unwrap();
    drop(listening);
    root.make("unheard").unwrap();
    let expected = [
        r#"MakeDirectory("/a")"#,
        r#"Create("/a/b.part")"#,
        r#"Append("/a/b.part", [120, 121, 122])"#,
        r#"SyncFile("/a/b.part", Contents)"#,
        r#"Rename("/a/b.part", "/a/b")"#,
        r#"Create("/a/c")"#,
        r#"SyncDirectory("/a", Name)"#,
        r#"Remove("/a/c")"#,
        r#"Create("/d")"#,
        r#"SyncFile("/d", GivenContents)"#,
        r#"SyncDirectory("/", GivenName)"#,
    ];
    assert_eq!(*heard.borrow(), expected);
    assert_eq!(std::fs::read(dir.path().join("a/b")).unwrap(), b"xyz");
}

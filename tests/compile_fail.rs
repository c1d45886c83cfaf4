//! The orders of a ceremony that must not be possible do not compile: each file below `tests/compile_fail/` tries one, and
//! the `.errors` file beside it has what the compiler says, a line for each error. `CLAVIGER_TEST_BLESS=1` writes the answers
//! anew after a change of compiler. The compiler is called on the library that this test was linked with, so that nothing
//! is built a second time.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library among what cargo built: the newest, should an earlier build have left others.
fn library(dependencies: &Path) -> PathBuf {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libclaviger-") && name.ends_with(".rlib")
    };
    let entries = std::fs::read_dir(dependencies).unwrap().map(|entry| entry.unwrap().path());
    let newest = entries.filter(is_library).max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    newest.expect("cargo has built the library")
}

/// What the compiler says of a file: a line for each error, paths as the repository has them.
fn errors_in(file: &Path) -> String {
    let dependencies = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("deps");
    // Not /dev/null: the compiler puts a new file in the place of what it is told to write, and root may replace a device.
    let made = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--error-format", "short"])
        .args(["--cap-lints", "allow", "--out-dir"])
        .arg(made.path())
        .arg("--extern")
        .arg(format!("claviger={}", library(&dependencies).display()))
        .arg("-L")
        .arg(format!("dependency={}", dependencies.display()))
        .arg(file)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = said.lines().filter(|line| line.contains(": error")).collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{said}");
    errors.iter().map(|line| format!("{line}\n")).collect()
}

fn files() -> Vec<PathBuf> {
    let directory = Path::new("tests/compile_fail");
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| directory.join(entry.unwrap().file_name())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}

#[test]
fn what_must_not_happen_does_not_compile() {
    let files = files();
    assert!(files.len() >= 9, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let errors = errors_in(&file);
        assert!(!errors.is_empty(), "{} compiles", file.display());
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join(file.with_extension("errors"));
        if std::env::var_os("CLAVIGER_TEST_BLESS").is_some() {
            std::fs::write(&expected, &errors).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != errors {
            wrong.push(format!("{}:\n{errors}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "the compiler says something else of\n{}", wrong.join("\n"));
}

/// If this did not compile, the others would fail for the wrong reason.
#[test]
fn the_order_that_must_be_possible_compiles() {
    assert_eq!(errors_in(Path::new("tests/compile_fail/allowed/in_order.rs")), "");
}

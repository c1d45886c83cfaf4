//! The sites that the sweep begins with, each as an image, and the runs that are cut.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use claviger::ceremony::enrolment::enrol;
use claviger::encoding::Document;
use claviger::token::soft::{SoftCardOptions, SoftSource, create_token};

use crate::harness::crew::{NAMES, change_pin_of_software_token_in};
use crate::harness::inside::{Command, People, Site};
use crate::harness::scene::{ITEM, SECRET};
use crate::image::{Image, Recorder, directory};

/// The copies of every vault here.
pub const VAULTS: [&str; 2] = ["vault", "copy"];

/// A run that is cut, and what it begins with.
pub struct Run {
    pub command: Command,
    pub k: usize,
    pub n: usize,
    /// Who holds it.
    pub who: Vec<usize>,
    pub base: Image,
}

impl Run {
    /// What it is, for people.
    pub fn name(&self) -> String {
        format!("{:?} of {}-of-{}", self.command, self.k, self.n).to_lowercase()
    }

    /// Every choice of k custodians.
    pub fn subsets(&self) -> Vec<Vec<usize>> {
        let all = 0_u32..1 << self.n;
        let of = |bits: u32| (0..self.n).filter(|index| bits & 1 << index != 0).collect::<Vec<_>>();
        all.filter(|bits| bits.count_ones() as usize == self.k).map(of).collect()
    }

    /// Holds it to its end, and takes down what stands on the site at every point.
    pub fn watched(&self) -> Recorder {
        let dir = directory();
        let site = self.lay_out(dir.path());
        let recorder = std::rc::Rc::new(std::cell::RefCell::new(Recorder::new(dir.path())));
        let writes = recorder.clone();
        let watch = claviger::fault::watch(move |name| writes.borrow_mut().point(name));
        let mut people = People::of(&self.who);
        site.hold(self.command, &VAULTS, &mut people).unwrap_or_else(|error| panic!("{error}\n{}", people.screen));
        drop(watch);
        recorder.replace(Recorder::default())
    }

    /// Lays the base out in `dir`.
    pub fn lay_out(&self, dir: &Path) -> Site {
        self.base.lay_out(dir);
        Site { dir: dir.to_owned() }
    }
}

/// The runs for one threshold that `CLAVIGER_TEST_RUNS` names, for example `recover,found`, or every one.
pub fn chosen_runs(k: usize, n: usize) -> Vec<Run> {
    let named = std::env::var("CLAVIGER_TEST_RUNS").unwrap_or_default();
    let mut runs = runs(k, n);
    runs.retain(|run| named.split(',').any(|name| run.name().starts_with(name)));
    assert!(!runs.is_empty(), "CLAVIGER_TEST_RUNS={named} names none");
    runs
}

/// Every run for one threshold.
pub fn runs(k: usize, n: usize) -> Vec<Run> {
    let dir = directory();
    let site = Site { dir: dir.path().to_owned() };
    let everybody: Vec<usize> = (0..n).collect();
    let first: Vec<usize> = (0..k).collect();
    let run = |command, who: &[usize], base| Run { command, k, n, who: who.to_vec(), base };
    enrolled(&site, k, n);
    let found = run(Command::Found, &everybody, Image::of(&site.dir));
    held(&site, Command::Found, &everybody);
    seal(&site);
    // The item is in the inbox only: where it goes is what a rotate must not lose.
    let rotate = run(Command::Rotate, &first, Image::of(&site.dir));
    held(&site, Command::Rotate, &first);
    let recover = run(Command::Recover, &first, Image::of(&site.dir));
    let check = run(Command::Check, &everybody, Image::of(&site.dir));
    let committed = committed(&recover);
    vec![recover, rotate, found, run(Command::Resume, &first, committed), check]
}

fn held(site: &Site, command: Command, who: &[usize]) {
    let mut people = People::of(who);
    site.hold(command, &VAULTS, &mut people).unwrap_or_else(|error| panic!("{error}\n{}", people.screen));
}

/// What stands there when a recover is committed on both copies, and nobody has closed.
fn committed(recover: &Run) -> Image {
    let mut watched = recover.watched();
    let is_commit = |path: &PathBuf| path.ends_with("generations/000003/COMMIT");
    let on_both =
        watched.states.iter().position(|state| state.image.files.keys().filter(|p| is_commit(p)).count() == 2);
    watched.states.swap_remove(on_both.expect("it was committed")).image
}

/// Tokens with the custodians' PINs, their enrolments, and a policy.
fn enrolled(site: &Site, k: usize, n: usize) {
    let policy = format!(
        "format = \"claviger/v1 policy\"\nname = \"test\"\nowner = \"the tests\"\nthreshold = {k}\ncopies = 2\n"
    );
    std::fs::write(site.dir.join("policy.toml"), policy).unwrap();
    let tokens = site.dir.join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    for (index, name) in NAMES.iter().enumerate().take(n) {
        let options = SoftCardOptions { firmware: (5, 7, 1), serial: 100 + index as u32, ..SoftCardOptions::default() };
        create_token(&tokens, name, options).unwrap();
        change_pin_of_software_token_in(&tokens, index);
        let mut source = SoftSource::open(&tokens).unwrap();
        let enrolment = enrol(&mut source, &mut People::of(&[index]), &name.parse().unwrap(), None).unwrap();
        std::fs::write(site.dir.join(format!("{name}.json")), enrolment.encode()).unwrap();
    }
}

fn seal(site: &Site) {
    let file = site.dir.join("secret-to-seal");
    std::fs::write(&file, SECRET).unwrap();
    let sealed = Program::new(env!("CARGO_BIN_EXE_claviger"))
        .arg("seal")
        .args(VAULTS.map(|vault| site.dir.join(vault)))
        .args([ITEM, "--kind", "opaque"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    std::fs::remove_file(file).unwrap();
}

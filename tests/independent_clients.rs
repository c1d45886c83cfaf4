//! The software card, held honest by programs that know nothing of it, through a real pcscd.

mod harness;

use claviger::token::soft::{SoftCard, SoftCardOptions};
use harness::{Pcscd, Terminal, VirtualCard};

#[test]
fn explore() {
    let pcscd = Pcscd::start(2);
    let mut card = pcscd.card(0, SoftCard::create(SoftCardOptions::default()).unwrap());
    pcscd.insert(0, &mut card);
    let out = pcscd.command("sh").arg("-c").arg(std::env::var("EXPLORE").unwrap()).output().unwrap();
    println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("{:#?}", card.commands());
    let start = std::time::Instant::now();
    pcscd.remove(0, &mut card);
    println!("{:?}", start.elapsed());
}

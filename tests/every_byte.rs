//! Every byte of a vault: whatever is changed, it is found and located, or it has no effect; nothing panics, waits or takes
//! memory; and what stands is never believed beyond what the untouched vault proved.
//!
//! The vaults are made by whole ceremonies on software tokens. By default a sample of bytes is flipped;
//! `CLAVIGER_TEST_EVERY_BIT=1` flips every bit of every file, and `=literally` also under whole verdicts, of which `=1` takes
//! one for each byte.

#[path = "harness/harness.rs"]
mod harness;

#[path = "../fuzz/src/world.rs"]
#[allow(dead_code)]
mod world;

#[path = "every_byte/exchanges.rs"]
mod exchanges;
#[path = "every_byte/files.rs"]
mod files;
#[path = "every_byte/flips.rs"]
mod flips;
#[path = "every_byte/given.rs"]
mod given;
#[path = "every_byte/opened.rs"]
mod opened;
#[path = "every_byte/vaults.rs"]
mod vaults;

/// Of the vaults, each of which takes ceremonies to make, everything in one process.
#[test]
fn bytes_that_are_not_what_was_signed() {
    let steps: [(&str, fn()); 9] = [
        ("removed and exchanged", exchanges::files_of_other_generations_and_vaults_are_found),
        ("cut and extended", exchanges::files_that_are_cut_or_have_more_are_found),
        ("documents in the place of others", exchanges::signed_documents_in_the_place_of_others_are_found),
        ("what is no file", files::what_is_no_file_is_found_without_waiting_for_it),
        ("given by hand", given::token_files_and_enrolments_and_policies),
        ("flips, whole verdicts", flips::a_flipped_bit_is_found_and_located_and_proves_nothing),
        ("flips, signatures", flips::no_signature_covers_a_flipped_bit),
        ("mended and recovered", files::the_intact_copy_mends_the_damaged_one_and_recovers),
        ("vanished", files::a_proposal_that_vanishes_is_refused),
    ];
    std::sync::LazyLock::force(&vaults::SCENE);
    // `CLAVIGER_TEST_EVERY_BIT=flips` does the steps of that name only.
    let only = std::env::var("CLAVIGER_TEST_EVERY_BIT").unwrap_or_default();
    for (name, step) in
        steps.into_iter().filter(|(name, _)| ["1", "literally"].contains(&only.as_str()) || name.contains(&only))
    {
        let began = std::time::Instant::now();
        step();
        println!("{name}: {:.1} s", began.elapsed().as_secs_f32());
    }
}

//! What the documents themselves refuse.

use super::*;
use crate::transcript::document::{MAX_DOCUMENT, is_file_name, is_text};
use crate::transcript::record::{CheckBody, RevealedBody, RevealedTo};
use serde_json::{Value, json};

/// Reads the canonical form of a document after `change` to its JSON.
fn read<T: Checked>(document: &T, change: impl FnOnce(&mut Value)) -> Result<T, DocumentError> {
    let mut value = serde_json::to_value(document).unwrap();
    change(&mut value);
    T::read(&crate::encoding::canonical(&value))
}

fn manifest() -> Manifest {
    three_generations().1[2].manifest.clone()
}

#[test]
fn every_document_survives_its_own_bytes() {
    let (world, made) = three_generations();
    assert_eq!(Founding::read(&world.founding.encode()).unwrap(), world.founding);
    for made in &made {
        assert_eq!(Manifest::read(&made.manifest.encode()).unwrap(), made.manifest);
        assert_eq!(Plan::read(&made.manifest.plan.encode()).unwrap(), made.manifest.plan);
    }
    let body = RevealedBody {
        ceremony: world.vault,
        item: name("root"),
        credential: Which::Next,
        incident: "INC-1 \u{e9}\u{4e16}".to_owned(),
        requester: String::new(),
        to: RevealedTo::Screen,
    };
    let bodies = [RecordBody::Revealed(body), RecordBody::Check(CheckBody { share_key: public(&key("x")) })];
    for body in bodies {
        let record = Record::new(world.vault, 1, time("2026-01-01T00:00:00Z"), Signer::Succession(1), body).unwrap();
        assert_eq!(Record::read(&record.encode()).unwrap(), record);
        assert!(read(&record, |value| value["kind"] = json!("abandoned")).is_err());
        assert!(read(&record, |value| value["body"]["more"] = json!(1)).is_err());
        assert!(read(&record, |value| value["by"] = json!({"custodian": 1, "succession": 1})).is_err());
    }
}

#[test]
fn unknown_missing_and_repeated_members_are_refused() {
    let manifest = manifest();
    assert!(read(&manifest, |_| ()).is_ok());
    assert!(read(&manifest, |value| value["extra"] = json!(1)).is_err());
    assert!(read(&manifest, |value| value["plan"]["extra"] = json!(1)).is_err());
    let members: Vec<String> = serde_json::to_value(&manifest).unwrap().as_object().unwrap().keys().cloned().collect();
    for member in members {
        assert!(read(&manifest, |value| drop(value.as_object_mut().unwrap().remove(&member))).is_err(), "{member}");
    }
    for member in ["grant", "parent"] {
        let removed = read(&manifest, |value| drop(value["plan"].as_object_mut().unwrap().remove(member)));
        assert!(removed.is_err(), "{member}: null must be written");
    }
    let text = String::from_utf8(manifest.encode()).unwrap();
    assert!(Manifest::read(text.replacen("{\"approvals\"", "{ \"approvals\"", 1).as_bytes()).is_err());
    assert!(Manifest::read(text.replacen('{', "{\"records\":[],", 1).as_bytes()).is_err());
    assert!(Manifest::read(format!("{text}\n").as_bytes()).is_err());
    assert!(Manifest::read(b"").is_err() && Manifest::read(b"null").is_err() && Manifest::read(&[0xff; 64]).is_err());
    let deep = "[".repeat(100_000);
    assert!(Manifest::read(deep.as_bytes()).is_err());
    let long = vec![b' '; MAX_DOCUMENT + 1];
    assert!(matches!(Manifest::read(&long), Err(DocumentError::TooLong { .. })));
}

#[test]
fn another_format_is_refused() {
    assert!(read(&manifest(), |value| value["format"] = json!("claviger/v2 manifest")).is_err());
    assert!(read(&manifest(), |value| value["plan"]["format"] = json!("claviger/v2 plan")).is_err());
}

#[test]
fn integers_are_bounded_and_whole() {
    let manifest = manifest();
    for bad in [json!(9_007_199_254_740_992_u64), json!(u64::MAX), json!(1.5), json!(-1), json!("1")] {
        assert!(read(&manifest, |value| value["plan"]["number"] = bad.clone()).is_err(), "{bad}");
        assert!(read(&manifest, |value| value["items"][0]["public"]["made"] = bad.clone()).is_err() || bad == "1");
    }
    assert!(read(&manifest, |value| value["items"][0]["public"]["made"] = json!(3)).is_ok());
}

#[test]
fn the_founding_body_keeps_its_rules() {
    let founding = World::new(2, 3).founding;
    for k in [0, 1, 4] {
        assert!(read(&founding, |value| value["k"] = json!(k)).is_err(), "{k}");
    }
    assert!(read(&founding, |value| value["k"] = json!(3)).is_ok());
    assert!(read(&founding, |value| value["roster"] = json!([])).is_err());
    assert!(read(&founding, |value| value["roster"][1]["index"] = json!(3)).is_err());
    assert!(read(&founding, |value| value["roster"][1]["name"] = json!("alice")).is_err());
    let same = serde_json::to_value(founding.roster[0].signing_key).unwrap();
    assert!(read(&founding, |value| value["roster"][1]["signing_key"] = same).is_err());
    let mut many = founding.clone();
    let entry = |index: usize| RosterEntry {
        index: (index % 256) as u8,
        name: name(&format!("c{index}")),
        group: None,
        signing_key: public(&key(&index.to_string())),
    };
    many.roster = (1..=256).map(entry).collect();
    many.k = 200;
    assert!(Founding::read(&many.encode()).is_err());
    many.roster.pop();
    assert!(Founding::read(&many.encode()).is_ok());
}

#[test]
fn a_plan_keeps_its_rules() {
    let plan = three_generations().1[2].manifest.plan.clone();
    type Change = fn(&mut Value);
    let bad: [Change; 13] = [
        |plan| plan["number"] = json!(0),
        |plan| plan["generation"] = json!(0),
        |plan| plan["generation"] = json!(1),
        |plan| plan["parent"] = json!(null),
        |plan| plan["kind"] = json!("found"),
        |plan| plan["kind"] = json!("recover"),
        |plan| plan["kind"] = json!("reshare"),
        |plan| plan["copies"] = json!([]),
        |plan| plan["copies"] = json!([plan["copies"][1], plan["copies"][0]]),
        |plan| plan["admits"] = json!([plan["admits"][0], plan["admits"][0]]),
        |plan| plan["admits"][0]["file"] = json!("../x.age"),
        |plan| plan["abandons"] = json!([{"ceremony": plan["vault"], "number": 1, "copies": []}]),
        |plan| {
            let text = "a\u{1b}[2J";
            let exception = json!({"kind": "clock", "expected": text, "happened": "", "subject": "", "decided_by": ""});
            plan["exceptions"] = json!([exception]);
        },
    ];
    assert!(read(&plan, |_| ()).is_ok());
    for (number, change) in bad.into_iter().enumerate() {
        assert!(read(&plan, change).is_err(), "change {number}");
    }
    let grant = |until: &str| {
        json!({"item": "root-password", "credential": "installed", "incident": "INC", "reason": "r", "requester": "q",
            "from": "2026-01-01T00:00:00Z", "until": until})
    };
    let recover = |until: &'static str| {
        read(&plan, |plan| {
            plan["kind"] = json!("recover");
            plan["grant"] = grant(until);
        })
    };
    assert!(recover("2026-01-01T01:00:00Z").is_ok());
    assert!(recover("2026-01-01T00:00:00Z").is_err());
}

#[test]
fn a_manifest_keeps_its_rules() {
    type Change = fn(&mut Value);
    let bad: [Change; 14] = [
        |m| drop(m["commitments"].as_array_mut().unwrap().pop()),
        |m| drop(m["share_keys"].as_array_mut().unwrap().pop()),
        |m| m["share_keys"][0]["index"] = json!(2),
        |m| m["share_keys"][0]["public"] = m["share_keys"][1]["public"].clone(),
        |m| m["share_keys"][0]["slot"] = json!("9a"),
        |m| m["share_keys"][0]["class"] = json!("software"),
        |m| m["envelopes"].as_array_mut().unwrap().reverse(),
        |m| m["vault_recipient"] = json!("ssh-ed25519"),
        |m| m["items"] = json!([m["items"][0], m["items"][0]]),
        |m| m["items"][0]["admitted"] = json!(4),
        |m| drop(m["approvals"].as_array_mut().unwrap().pop()),
        |m| m["approvals"].as_array_mut().unwrap().reverse(),
        |m| m["approvals"][1]["index"] = json!(9),
        |m| m["records"] = json!([m["plan"]["vault"], m["plan"]["vault"]]),
    ];
    for (number, change) in bad.into_iter().enumerate() {
        assert!(read(&manifest(), change).is_err(), "change {number}");
    }
}

#[test]
fn software_tokens_are_for_practice_only() {
    let (world, first) = World::founded(2, 3);
    let plan = world.plan(Some(&first), 2);
    let mut share_key = World::share_key(&plan, 1);
    share_key.class = Class::Software;
    assert!(Approval::new(plan.clone(), 1, share_key.clone(), plan.started).is_err());
    let practice = Plan { practice: true, ..plan };
    assert!(Approval::new(practice.clone(), 1, share_key.clone(), practice.started).is_ok());
    share_key.class = Class::Renewing;
    assert!(Approval::new(practice.clone(), 1, share_key, practice.started).is_err());
}

#[test]
fn closings_keep_their_rules() {
    let (_, [first, second, _]) = three_generations();
    let closing = World::closing(&[&first, &second], 1);
    assert!(read(&closing, |_| ()).is_ok());
    assert!(read(&closing, |c| c["destroyed"] = json!([c["share_key"]])).is_err());
    assert!(read(&closing, |c| c["destroyed"] = json!([c["destroyed"][0], c["destroyed"][0]])).is_err());
    assert!(read(&closing, |c| c["index"] = json!(0)).is_err());
}

#[test]
fn an_enrolment_proves_its_key() {
    let alice = World::signer(1);
    let attestation = Attestation::none();
    let sign_it = |bytes: &[u8]| Signature::from_der(&sign(&alice, bytes));
    let parts = (public(&alice), Class::Renewing, attestation);
    let enrolment = Enrolment::sign(name("alice"), None, parts, time("2026-01-01T00:00:00Z"), sign_it).unwrap();
    assert_eq!(Enrolment::read(&enrolment.encode()).unwrap(), enrolment);
    // What is signed is the document without the member `signature`, in canonical form.
    let mut value = serde_json::to_value(&enrolment).unwrap();
    value.as_object_mut().unwrap().remove("signature");
    assert_eq!(crate::encoding::canonical(&value), enrolment.signed_bytes());
    assert!(read(&enrolment, |value| value["name"] = json!("mallory")).is_err());
    assert!(read(&enrolment, |value| value["class"] = json!("fixed")).is_err());
}

#[test]
fn a_signature_makes_evidence_and_nothing_else_does() {
    let (world, first) = World::founded(1, 1);
    let bytes = world.files[&first.path("closings/01-alice.json")].clone();
    let good = world.files[&first.path("closings/01-alice.sig")].clone();
    let alice = public(&World::signer(1));
    assert_eq!(Signed::<Closing>::verify(&bytes, &good, &alice).unwrap().digest(), Digest::of(&bytes));
    let other = public(&World::signer(2));
    assert!(matches!(Signed::<Closing>::verify(&bytes, &good, &other), Err(SignedError::Forged { .. })));
    assert!(matches!(Signed::<Closing>::verify(&bytes, &good[1..], &alice), Err(SignedError::Signature(_))));
    assert!(matches!(Signed::<Approval>::verify(&bytes, &good, &alice), Err(SignedError::Document(_))));
    assert!(matches!(
        Signed::<Closing>::verify_by(&bytes, &good, &Memory::default(), |_| None),
        Err(SignedError::Nobody)
    ));
}

#[test]
fn texts_and_file_names() {
    assert!(is_text("") && is_text(&"\u{e9}".repeat(500)) && !is_text(&"a".repeat(501)) && !is_text("a\nb"));
    assert!(!is_text("INC-1 \u{202e}2-CNI") && !is_text("a\u{200b}b"));
    assert!(is_file_name("root.password.age"));
    for bad in ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b"] {
        assert!(!is_file_name(bad), "{bad:?}");
    }
}

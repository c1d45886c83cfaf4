#!/usr/bin/python3
"""Holds docs/way-out.py to the vectors. Exits with 1 and says which one failed."""
import importlib.util, json, pathlib, sys

HERE = pathlib.Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("way_out", HERE.parent.parent / "docs" / "way-out.py")
way_out = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(way_out)


def derivation(vector):
    root, vault, generation = bytes.fromhex(vector["root"]), bytes.fromhex(vector["vault"]), vector["generation"]
    identity, recipient = way_out.vault_identity(root, vault, generation)
    assert vector.get("vault_identity", identity) == identity  # absent where the writer does not let it out
    assert recipient == vector["vault_recipient"]
    assert way_out.succession_key(root, vault, generation).hex() == vector["succession_key"]


def envelope(vector):
    recipient = way_out.point_from(bytes.fromhex(vector["recipient"]))
    expected = [(name, vector[name]) for name in ("vault", "generation", "index", "k", "n", "commitments")]
    try:
        sealed = way_out.Envelope(bytes.fromhex(vector["envelope"]), recipient)
        shared = way_out.point_times(int(vector["share_key"], 16), sealed.point)[0].to_bytes(32, "big")
        share = sealed.open(shared, expected)
    except way_out.Stop as problem:
        assert vector["expect"] != "opens", problem
        return
    assert vector["expect"] == "opens", "opened, and should not"
    assert share.to_bytes(32, "big").hex() == vector["share"]


def sharing(vector):
    commitments = [way_out.point_from(bytes.fromhex(point)) for point in vector["commitments"]]
    shares = {int(index): int(share, 16) for index, share in vector["shares"].items()}
    for index, share in shares.items():
        assert way_out.share_fits(share, index, commitments)
        assert not way_out.share_fits(share, index + 1, commitments)
        assert not way_out.share_fits(share ^ 1, index, commitments)
    assert way_out.combine(shares, commitments).hex() == vector["root"]


failed = checked = 0
for check in (derivation, envelope, sharing):
    for path in sorted((HERE if len(sys.argv) < 2 else pathlib.Path(sys.argv[1])).glob(f"{check.__name__}/*.json")):
        checked += 1
        try:
            check(json.loads(path.read_text()))
        except Exception as problem:
            failed += 1
            print(f"{path}: {type(problem).__name__}: {problem}")
print(f"{checked} vectors, {failed} failed")
sys.exit(1 if failed or not checked else 0)

//! x
pub fn text(_: &crate::transcript::Judgement, _: Option<&crate::policy::Policy>, _: crate::encoding::Time) -> String {
    String::new()
}
pub fn json(
    _: &crate::transcript::Judgement,
    _: Option<&crate::policy::Policy>,
    _: crate::encoding::Time,
) -> serde_json::Value {
    serde_json::Value::Null
}

//! `config.json`: what a model's outputs mean, and how long a text may be.

use crate::json::{Json, JsonError};

/// The settings of a `config.json` that matter here. Everything is optional: the default is an empty file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ModelConfig {
    /// `id2label`: index of an output and its name, in the order of the file.
    pub labels: Vec<(usize, String)>,
    /// `problem_type`.
    pub problem: Problem,
    /// The most tokens that there are positions for.
    pub max_positions: Option<usize>,
    /// The token that fills up short texts.
    pub pad_token_id: Option<u32>,
    /// The architecture, such as `distilbert`.
    pub model_type: Option<String>,
}

/// How outputs become scores.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Problem {
    /// One label is true: softmax over all. With only one label, the sigmoid of its output.
    #[default]
    SingleLabel,
    /// Each label is true or not: sigmoid of each.
    MultiLabel,
    /// The outputs are the scores.
    Regression,
}

impl ModelConfig {
    /// Reads the file. Settings of an unexpected type are taken as absent.
    ///
    /// # Errors
    ///
    /// If the text is not a JSON object, or a label has no index.
    pub fn from_json(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut json = Json::new(bytes);
        let mut config = ModelConfig::default();
        json.object();
        while let Some(key) = json.next_key() {
            match &*key {
                "id2label" if json.peek() == b'{' => {
                    json.object();
                    while let Some(index) = json.next_key() {
                        match index.parse() {
                            Ok(index) => config.labels.push((index, json.text())),
                            Err(_) => json.fail_here("expected a number as the key before"),
                        }
                    }
                }
                "problem_type" if json.peek() == b'"' => {
                    config.problem = match &*json.string() {
                        "multi_label_classification" => Problem::MultiLabel,
                        "regression" => Problem::Regression,
                        _ => Problem::SingleLabel,
                    };
                }
                "max_position_embeddings" if json.at_number() => config.max_positions = Some(json.number() as usize),
                "pad_token_id" if json.at_number() => config.pad_token_id = Some(json.number() as u32),
                "model_type" if json.peek() == b'"' => config.model_type = Some(json.text()),
                _ => json.skip(),
            }
        }
        json.finish()?;
        // These count positions from behind the one of the padding token.
        const BEHIND_PADDING: [&str; 4] = ["roberta", "xlm-roberta", "camembert", "mpnet"];
        if config.model_type.as_deref().is_some_and(|kind| BEHIND_PADDING.contains(&kind)) {
            let before = config.pad_token_id.unwrap_or(1) as usize + 1;
            config.max_positions = config.max_positions.map(|max| max.saturating_sub(before));
        }
        Ok(config)
    }

    /// The name of an output, by transformers' convention if the file has none.
    pub fn label(&self, index: usize) -> String {
        let named = self.labels.iter().rev().find(|(other, _)| *other == index);
        named.map_or_else(|| format!("LABEL_{index}"), |(_, label)| label.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_any_order_with_gaps() {
        let text =
            br#"{"id2label": {"10": "K", "2": "C", "0": "A"}, "problem_type": null, "max_position_embeddings": 512}"#;
        let config = ModelConfig::from_json(text).unwrap();
        assert_eq!([0, 1, 2, 10].map(|index| config.label(index)), ["A", "LABEL_1", "C", "K"]);
        assert_eq!((config.problem, config.max_positions), (Problem::SingleLabel, Some(512)));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(ModelConfig::from_json(b"{}").unwrap(), ModelConfig::default());
        assert_eq!(ModelConfig::default().label(1), "LABEL_1");
    }

    #[test]
    fn problem_types() {
        let problem = |name: &str| {
            let text = format!(r#"{{"problem_type": "{name}", "id2label": null}}"#);
            ModelConfig::from_json(text.as_bytes()).unwrap().problem
        };
        assert_eq!(problem("multi_label_classification"), Problem::MultiLabel);
        assert_eq!(problem("single_label_classification"), Problem::SingleLabel);
        assert_eq!(problem("regression"), Problem::Regression);
    }

    #[test]
    fn positions_behind_the_padding() {
        for kind in ["roberta", "xlm-roberta", "camembert", "mpnet"] {
            let text = format!(r#"{{"max_position_embeddings": 514, "pad_token_id": 1, "model_type": "{kind}"}}"#);
            assert_eq!(ModelConfig::from_json(text.as_bytes()).unwrap().max_positions, Some(512));
        }
    }

    #[test]
    fn what_is_wrong_and_where() {
        let error = ModelConfig::from_json(br#"{"id2label": {"a": "A"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "expected a number as the key before at byte 18");
    }
}

// A text box that says how its text sounds, while one types. All of them share one model, loaded with the first.

import { useEffect, useState } from 'react';
import { pipeline } from 'fourlane';

let loading;

export default function Sentiment() {
  const [text, setText] = useState('');
  const [result, setResult] = useState(null);

  useEffect(() => {
    let isCurrent = true; // by the time the answer comes, the text may be another
    const show = (result) => isCurrent && setResult({ text, ...result });
    loading ??= pipeline('sentiment-analysis');
    loading.then((classify) => classify(text)).then(([best]) => show(best), ({ message }) => show({ message }));
    return () => {
      isCurrent = false;
    };
  }, [text]);

  return (
    <label>
      What do you think of it?
      <textarea value={text} onChange={(event) => setText(event.target.value)} />
      <output aria-busy={result?.text !== text}>
        {result && (result.message ?? `${result.label} ${Math.round(100 * result.score)} %`)}
      </output>
    </label>
  );
}

// CSV as RFC 4180 has it, with commas, semicolons or tabs, and plain text as a CSV of one column.

/** Fields of each record. Quotes inside of an unquoted field are part of it. */
export function parse(text, separator) {
  const records = [];
  let record = [];
  let i = 0;
  while (i < text.length) {
    let field;
    if (text[i] === '"') {
      [field, i] = quoted(text, i + 1);
      // What comes between the closing quote and the next separator belongs to the field, too.
    } else {
      field = '';
    }
    const start = i;
    while (i < text.length && text[i] !== separator && text[i] !== '\n' && text[i] !== '\r') i++;
    record.push(field + text.slice(start, i));
    if (text[i] === separator) {
      i++;
      if (i < text.length) continue;
      record.push('');
    }
    if (text[i] === '\r' && text[i + 1] === '\n') i++;
    i++;
    records.push(record);
    record = [];
  }
  return records;
}

/** A field up to its closing quote, or the end: `[field, index behind it]`. */
function quoted(text, start) {
  let field = '';
  for (;;) {
    const end = text.indexOf('"', start);
    if (end < 0) return [field + text.slice(start), text.length];
    field += text.slice(start, end);
    if (text[end + 1] !== '"') return [field, end + 1];
    field += '"';
    start = end + 2;
  }
}

/** One record as a line. */
export function line(fields) {
  const quote = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : String(field));
  return `${fields.map(quote).join(',')}\r\n`;
}

const TEXTS = /^(text|sentence|review|comment|content|message|body|title|tweet|summary|description|phrase)s?$/i;

/**
 * What someone has pasted or dropped, as `{ columns, rows, text }`: names of columns (without any, one column and no
 * header), rows of as many fields, and the index of the column that is most likely the text.
 */
export function read(content) {
  const text = content.replace(/^\ufeff/, '');
  const table = ['\t', ';', ','].map((separator) => parse(text, separator)).find(isTable);
  if (!table) {
    const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim() !== '');
    // A file of one column may have its header and quotes all the same.
    const header = TEXTS.test(lines[0] ?? '') ? lines.shift() : undefined;
    const rows = header === undefined ? lines.map((line) => [line]) : parse(lines.join('\n'), '\0');
    return { columns: [header ?? 'text'], rows, text: 0 };
  }
  const [header, ...rest] = table;
  const rows = rest.filter((row) => row.some((field) => field.trim() !== ''));
  const named = header.findIndex((name) => TEXTS.test(name.trim()));
  const length = (i) => rows.slice(0, 100).reduce((sum, row) => sum + row[i].length, 0);
  const lengths = header.map((_, i) => length(i));
  return { columns: header, rows, text: named >= 0 ? named : lengths.indexOf(Math.max(...lengths)) };
}

/** Sentences have commas, too: a table has a header of short names, and everywhere as many fields as that. */
function isTable(records) {
  const [header, ...rows] = records;
  const full = rows.filter((row) => row.length > 1 || row[0].trim() !== '');
  return (
    header?.length > 1 && full.length > 0 &&
    header.every((name) => name.trim().length > 0 && name.length <= 40 && !/[.!?]\s*$/.test(name)) &&
    full.every((row) => row.length === header.length)
  );
}

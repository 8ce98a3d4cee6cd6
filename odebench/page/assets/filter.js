// The filter of the table. It reads what `-k` reads, and more: words that are looked for anywhere, and figures.
//
//   any  = all {"or" all}
//   all  = one {["and"] one}
//   one  = "not" one | "(" any ")" | word [("=" | "!=" | "<" | "<=" | ">" | ">=") word]

const TOKEN = /\s*(?:([()])|(!=|<=|>=|==|=|<|>)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?:(and|or|not)(?=[\s()]|$)))/y;

/** A text -> a function of a row number, true where the row is wanted. Throws an Error that a reader understands. */
function readFilter(text, cells) {
  const tokens = tokensOf(text);
  if (tokens.length === 0) return () => true;
  let at = 0;
  const here = () => tokens[at] ?? { kind: "end", text: "the end" };
  const take = (kind, value) => {
    const found = here().kind === kind && (value === undefined || here().text === value);
    if (found) at += 1;
    return found;
  };

  function any() {
    const tests = [all()];
    while (take("keyword", "or")) tests.push(all());
    return (row) => tests.some((test) => test(row));
  }

  function all() {
    const tests = [one()];
    while (take("keyword", "and") || startsOne()) tests.push(one());
    return (row) => tests.every((test) => test(row));
  }

  function startsOne() {
    const { kind, text: word } = here();
    return kind === "word" || (kind === "keyword" && word === "not") || (kind === "bracket" && word === "(");
  }

  function one() {
    if (take("keyword", "not")) {
      const inner = one();
      return (row) => !inner(row);
    }
    if (take("bracket", "(")) {
      const inner = any();
      if (!take("bracket", ")")) throw new Error(`expected “)” and found ${here().text}`);
      return inner;
    }
    const word = here();
    if (!take("word")) throw new Error(`expected a word and found ${word.text}`);
    const operator = here();
    if (!take("operator")) return cells.holds(word.text);
    const value = here();
    if (!take("word")) throw new Error(`expected a value after ${operator.text} and found ${value.text}`);
    return cells.compares(word.text, operator.text, value.text);
  }

  const test = any();
  if (here().kind !== "end") throw new Error(`did not expect ${here().text}`);
  return test;
}

function tokensOf(text) {
  const tokens = [];
  let at = 0;
  while (text.slice(at).trim()) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (found) {
      const [whole, bracket, operator, quoted, keyword] = found;
      at += whole.length;
      if (bracket) tokens.push({ kind: "bracket", text: bracket });
      else if (operator) tokens.push({ kind: "operator", text: operator === "==" ? "=" : operator });
      else if (quoted) tokens.push({ kind: "word", text: unquoted(quoted) });
      else tokens.push({ kind: "keyword", text: keyword });
    } else {
      const word = wordAt(text, at);
      at = word.end;
      tokens.push({ kind: "word", text: word.text });
    }
  }
  return tokens;
}

/** Up to a blank or an operator; but a name's options, `coupled(base=rk4, coupling=0.999)`, belong to it. */
function wordAt(text, start) {
  let at = start;
  while (/\s/.test(text[at])) at += 1;
  const first = at;
  for (let depth = 0; at < text.length; at += 1) {
    const character = text[at];
    if (depth === 0 && (/[\s)=<>]/.test(character) || text.startsWith("!=", at))) break;
    if (character === "(" || character === "[") depth += 1;
    if (character === ")" || character === "]") depth -= 1;
  }
  return { text: text.slice(first, at), end: at };
}

function unquoted(text) {
  return text.slice(1, -1).replace(/\\(.)/g, "$1");
}

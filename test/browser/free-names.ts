/** The names a script takes from its host: used in it and declared nowhere in it. */
import ts from "typescript";

const isDeclarationName = (node: ts.Identifier): boolean => {
  const { parent } = node;
  return (ts.isVariableDeclaration(parent) || ts.isParameter(parent) || ts.isFunctionLike(parent) || ts.isClassLike(parent) || ts.isBindingElement(parent)) && parent.name === node;
};

const isPropertyName = (node: ts.Identifier): boolean => {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  return (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent) || ts.isAccessor(parent) || ts.isPropertyDeclaration(parent) || ts.isEnumMember(parent)) && parent.name === node;
};

/** Coarse on purpose: a name declared anywhere counts as declared everywhere, so a minifier's short names hide nothing longer. */
export function freeNames(script: string): ReadonlySet<string> {
  const declared = new Set<string>();
  const used = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      if (isDeclarationName(node)) declared.add(node.text);
      else if (!isPropertyName(node)) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("bundle.js", script, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS));
  return new Set([...used].filter((name) => !declared.has(name)));
}

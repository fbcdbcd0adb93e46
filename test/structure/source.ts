/**
 * What the structure tests need to know of a TypeScript file, read from its syntax tree.
 *
 * The compiler itself parses, over a file system in memory, so strings, templates and regular expressions cannot be taken
 * for code, and a test can feed a tree that exists nowhere on disk. TypeScript calls this interface unstable; its version
 * is pinned in package.json and this file alone knows it. The rules see only the plain values below, never a syntax node.
 */
import { posix } from 'node:path';
import * as ast from 'typescript/unstable/ast';
import { createVirtualFileSystem } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';

export interface Source {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
  readonly exports: readonly Export[];
  /** Holds nothing but imports and re-exports. */
  readonly onlyReexports: boolean;
  readonly functions: readonly FunctionSize[];
  /** Names used as values: "process", "Date.now", "new Date()". */
  readonly references: readonly Reference[];
}

export interface Import {
  readonly line: number;
  readonly specifier: string;
  /** The file that a relative specifier means, from the root of the repository; undefined for packages and node:. */
  readonly path: string | undefined;
  /** The exported names that are taken; "*" when it cannot be told which. */
  readonly names: readonly string[];
}

export interface Export {
  readonly name: string;
  readonly line: number;
  /** An interface or a type alias: gone at run time. */
  readonly isType: boolean;
  /** Every name in its declaration outside of function bodies. */
  readonly mentions: ReadonlySet<string>;
}

export interface FunctionSize {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

export interface Reference {
  readonly name: string;
  readonly line: number;
}

const ROOT = '/tree';
const PROJECT = `${ROOT}/tsconfig.json`;

/** Parses files given by their path (without a leading slash) and text; the order is that of the map. */
export function parseSources(files: ReadonlyMap<string, string>): Source[] {
  const paths = [...files.keys()];
  const config = { compilerOptions: { noLib: true, noResolve: true, types: [] }, files: paths };
  const entries = [...files].map(([path, text]) => [`${ROOT}/${path}`, text]);
  const fileSystem = createVirtualFileSystem({
    ...Object.fromEntries(entries),
    [PROJECT]: JSON.stringify(config),
  });
  const api = new API({ cwd: ROOT, fs: fileSystem });
  try {
    const project = api.updateSnapshot({ openProjects: [PROJECT] }).getProject(PROJECT);
    if (project === undefined) throw new Error('the compiler opened no project');
    return [...files].map(([path, text]) => {
      const tree = project.program.getSourceFile(`${ROOT}/${path}`);
      if (tree === undefined) throw new Error(`the compiler did not read ${path}`);
      return describe(path, text, tree);
    });
  } finally {
    api.close();
  }
}

function describe(path: string, text: string, tree: ast.SourceFile): Source {
  const lineOf = (position: number): number => tree.getLineAndCharacterOfPosition(position).line + 1;
  const imports: Import[] = [];
  const functions: FunctionSize[] = [];
  const references: Reference[] = [];
  const visit = (node: ast.Node): void => {
    const line = lineOf(node.getStart(tree));
    const taken = importOf(node);
    if (taken !== undefined) imports.push({ line, path: resolve(path, taken.specifier), ...taken });
    if (isFunctionWithBody(node)) {
      functions.push({ name: nameOf(node), line, lines: lineOf(node.getEnd()) - line + 1 });
    }
    const name = referenceOf(node);
    if (name !== undefined) references.push({ name, line });
    if (!ast.isImportDeclaration(node) && !ast.isExportDeclaration(node)) node.forEachChild(visit);
  };
  tree.forEachChild(visit);
  const exports = tree.statements.flatMap((statement) => exportsOf(statement, lineOf(statement.getStart(tree))));
  return { path, text, imports, exports, onlyReexports: onlyReexports(tree), functions, references };
}

function resolve(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
}

/** What a node imports: `import`, `export … from`, `import(…)` and `import('…').Type`. */
function importOf(node: ast.Node): { specifier: string; names: string[] } | undefined {
  if (ast.isImportDeclaration(node) && ast.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, names: namesOf(node.importClause) };
  }
  if (
    ast.isExportDeclaration(node) &&
    node.moduleSpecifier !== undefined &&
    ast.isStringLiteral(node.moduleSpecifier)
  ) {
    const clause = node.exportClause;
    const named = clause !== undefined && ast.isNamedExports(clause);
    const names = named ? clause.elements.map((element) => (element.propertyName ?? element.name).text) : ['*'];
    return { specifier: node.moduleSpecifier.text, names };
  }
  if (ast.isCallExpression(node) && ast.isImportExpression(node.expression)) {
    const [argument] = node.arguments;
    if (argument !== undefined && ast.isStringLiteral(argument)) return { specifier: argument.text, names: ['*'] };
  }
  if (
    ast.isImportTypeNode(node) &&
    ast.isLiteralTypeNode(node.argument) &&
    ast.isStringLiteral(node.argument.literal)
  ) {
    return { specifier: node.argument.literal.text, names: ['*'] };
  }
  return undefined;
}

function namesOf(clause: ast.ImportClause | undefined): string[] {
  const bindings = clause?.namedBindings;
  const fallback = clause?.name === undefined ? [] : ['default'];
  if (bindings === undefined) return fallback;
  if (!ast.isNamedImports(bindings)) return [...fallback, '*'];
  return [...fallback, ...bindings.elements.map((element) => (element.propertyName ?? element.name).text)];
}

function exportsOf(statement: ast.Statement, line: number): Export[] {
  if (ast.isExportAssignment(statement)) return [{ name: 'default', line, isType: false, mentions: new Set() }];
  if (ast.isExportDeclaration(statement)) {
    const clause = statement.exportClause;
    if (clause === undefined || !ast.isNamedExports(clause)) return [];
    return clause.elements.map((element) => ({
      name: element.name.text,
      line,
      isType: statement.isTypeOnly || element.isTypeOnly,
      mentions: new Set<string>(),
    }));
  }
  if (!hasModifier(statement, ast.SyntaxKind.ExportKeyword)) return [];
  const isType = ast.isInterfaceDeclaration(statement) || ast.isTypeAliasDeclaration(statement);
  const mentions = mentionsOf(statement);
  if (hasModifier(statement, ast.SyntaxKind.DefaultKeyword)) return [{ name: 'default', line, isType, mentions }];
  const names = ast.isVariableStatement(statement)
    ? statement.declarationList.declarations.flatMap((declaration) => boundNames(declaration.name))
    : [nameOf(statement)];
  return names.map((name) => ({ name, line, isType, mentions }));
}

function boundNames(name: ast.Node): string[] {
  if (ast.isIdentifier(name)) return [name.text];
  const names: string[] = [];
  name.forEachChild((element) => {
    if (ast.isBindingElement(element) && element.name !== undefined) names.push(...boundNames(element.name));
  });
  return names;
}

function mentionsOf(declaration: ast.Node): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (node: ast.Node): void => {
    if (ast.isBlock(node)) return;
    if (ast.isIdentifier(node)) names.add(node.text);
    node.forEachChild(visit);
  };
  declaration.forEachChild(visit);
  return names;
}

function onlyReexports(tree: ast.SourceFile): boolean {
  const statements = tree.statements.filter((statement) => !ast.isImportDeclaration(statement));
  return statements.length > 0 && statements.every((statement) => ast.isExportDeclaration(statement));
}

function isFunctionWithBody(node: ast.Node): boolean {
  return (
    ast.isArrowFunction(node) ||
    ast.isFunctionExpression(node) ||
    ast.isFunctionDeclaration(node) ||
    ast.isMethodDeclaration(node) ||
    ast.isConstructorDeclaration(node) ||
    ast.isGetAccessorDeclaration(node) ||
    ast.isSetAccessorDeclaration(node)
  );
}

function nameOf(node: ast.Node): string {
  if (ast.isConstructorDeclaration(node)) return 'constructor';
  const own = 'name' in node ? node.name : undefined;
  const parent: ast.Node | undefined = node.parent;
  const name = own ?? (parent !== undefined && 'name' in parent ? parent.name : undefined);
  // The tree's types say of few nodes that they have a name; where one has, it is a node.
  return name === undefined ? '(anonymous)' : (name as ast.Node).getText(node.getSourceFile());
}

/** The name under which a value is used here; undefined for declarations, property names and everything else. */
function referenceOf(node: ast.Node): string | undefined {
  if (ast.isPropertyAccessExpression(node) && ast.isIdentifier(node.expression)) {
    return `${node.expression.text}.${node.name.text}`;
  }
  if (ast.isNewExpression(node) && ast.isIdentifier(node.expression) && (node.arguments?.length ?? 0) === 0) {
    return `new ${node.expression.text}()`;
  }
  if (!ast.isIdentifier(node)) return undefined;
  const { parent } = node;
  const isName = 'name' in parent && parent.name === node && !ast.isShorthandPropertyAssignment(parent);
  return isName || ast.isBindingElement(parent) ? undefined : node.text;
}

function hasModifier(node: ast.Node, kind: ast.SyntaxKind): boolean {
  const modifiers = 'modifiers' in node ? node.modifiers : undefined;
  // As with names: `modifiers` is on some node types only, and always an array of nodes.
  return ((modifiers ?? []) as readonly ast.Node[]).some((modifier) => modifier.kind === kind);
}

import { DefaultNamingStrategy } from "typeorm";

/** `desiredRevision` → `desired_revision`. */
export function snakeCase(property: string): string {
  return property.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The one place that says how columns are called. */
export class SnakeCaseNames extends DefaultNamingStrategy {
  override columnName(propertyName: string): string {
    return snakeCase(propertyName);
  }
}

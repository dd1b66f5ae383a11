/** The conditions that stores put into a `where`; the rest of TypeORM stays in this folder. */
export { ArrayContains, In, IsNull, LessThan, MoreThan, Not } from "typeorm";

import {
  type CreationOptional,
  DataTypes,
  type InferAttributes,
  type InferCreationAttributes,
  Model,
  type ModelStatic,
  type Sequelize,
} from 'sequelize'

/** A blob that a client is uploading in parts (container.md §4); the parts' bytes lie beside the blob store. */
export class PackageBlobUpload extends Model<
  InferAttributes<PackageBlobUpload>,
  InferCreationAttributes<PackageBlobUpload>
> {
  /** A UUID. */
  declare id: string
  /** Who opened it; 0: nobody signed in. */
  declare userId: number
  declare ownerId: number
  /** The image, without its owner. */
  declare name: string
  /** Bytes received. */
  declare size: CreationOptional<number>
  /** JSON: a list of `{name, size, digests?}`, in the order of the bytes; digests only of one that is alone. */
  declare parts: string
  declare createdAt: number
  declare updatedAt: number
}

/** Binds PackageBlobUpload to one database; a class of its own, so that several databases live in one process. */
export function definePackageBlobUpload(sequelize: Sequelize): ModelStatic<PackageBlobUpload> {
  return class extends PackageBlobUpload {}.init(
    {
      id: { type: DataTypes.STRING(36), primaryKey: true },
      userId: { type: DataTypes.BIGINT, allowNull: false },
      ownerId: { type: DataTypes.BIGINT, allowNull: false },
      name: { type: DataTypes.STRING, allowNull: false },
      size: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      parts: { type: DataTypes.TEXT, allowNull: false },
      createdAt: { type: DataTypes.BIGINT, allowNull: false },
      updatedAt: { type: DataTypes.BIGINT, allowNull: false },
    },
    { sequelize, tableName: 'package_blob_upload', modelName: 'PackageBlobUpload' },
  )
}
